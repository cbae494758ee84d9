import {
  ServiceOutcome_Kind as Kind,
  ResolveImage,
  type Service,
  ServiceSpec,
  Rollout_State as State,
} from "@berth/proto";
import { beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import {
  deployment,
  runningTasks,
  type ServiceOptions,
  service,
  type TestServer,
} from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();
let calls: TestServer["calls"];

beforeEach(async () => {
  ({ calls } = await context.cluster.startServer());
  await context.cluster.startAgents(["a", "b"]);
});

/** A service with short times for monitoring and progress. */
function webService(options: ServiceOptions = {}): ServiceSpec {
  const spec = service("web", options);
  return ServiceSpec.fromPartial({ ...spec, update: { monitorMs: 100, progressDeadlineMs: 2_000 } });
}

async function current(name = "shop_web"): Promise<Service> {
  const { service: summary } = await calls.getService({ service: name });
  if (summary?.service === undefined) throw new Error(`no service ${name}`);
  return summary.service;
}

/** Waits until a version is healthy on all slots. */
const healthy = (version: number): Promise<Service> =>
  eventually(`version ${version} is healthy`, async () => {
    const known = await current();
    return known.healthyVersion === version ? known : undefined;
  });

const imageOf = ({ spec }: Service): string => spec?.task?.container?.image ?? "";

async function update(image: string, expectedVersion = 0) {
  const { spec } = await current();
  if (spec?.task?.container === undefined) throw new Error("no spec");
  const changed = { ...spec, task: { ...spec.task, container: { ...spec.task.container, image } } };
  return calls.updateService({
    service: "shop_web",
    spec: changed,
    pushedImages: [],
    expectedVersion,
    force: false,
  });
}

describe("createService()", () => {
  const create = (spec: ServiceSpec) =>
    calls.createService({ spec, resolveImage: ResolveImage.NEVER, pushedImages: [] });

  it("creates a service once, and refuses its name for another spec until it is removed", async () => {
    const spec = ServiceSpec.fromPartial({ name: "web", task: { container: { image: "web:1" } } });
    const created = await create(spec);
    expect(created).toMatchObject({ service: { name: "web", kind: Kind.CREATED, version: 1 } });
    expect(await create(spec)).toMatchObject({
      service: { serviceId: created.service?.serviceId, kind: Kind.UNCHANGED },
    });
    const other = ServiceSpec.fromPartial({ ...spec, task: { container: { image: "web:2" } } });
    await expect(create(other)).rejects.toMatchObject({
      code: "BERTH_CONFLICT",
      message: expect.stringMatching(/^service web was not created: the name belongs to service /),
    });
    await calls.removeServices({ services: ["web"], stack: "" });
    expect((await create(other)).service?.kind).not.toBe(Kind.UNCHANGED);
    await eventually("the other service runs", async () => (await runningTasks(calls, "web")).length === 1);
    expect(imageOf(await current("web"))).toBe("web:2");
  });

  it("reports invalid specs and networks that do not exist, and creates nothing", async () => {
    const container = { image: "" };
    const invalid = ServiceSpec.fromPartial({ name: "web", task: { container } });
    await expect(create(invalid)).rejects.toMatchObject({ code: "BERTH_SPEC_INVALID" });
    const networks = [{ network: "nowhere" }];
    const lost = ServiceSpec.fromPartial({ name: "web", task: { container: { image: "web:1" }, networks } });
    await expect(create(lost)).rejects.toThrow(/^service web was not created: .*nowhere/);
    expect((await calls.listServices({ stack: "" })).services).toEqual([]);
  });
});

describe("updateService()", () => {
  it("replaces the spec and refuses a spec that is invalid or based on an older version", async () => {
    await calls.deployStack(deployment([webService({ replicas: 2 })]));
    await healthy(1);
    expect(await update("web:2", 1)).toMatchObject({ service: { kind: Kind.UPDATED, version: 2 } });
    await expect(update("web:3", 1)).rejects.toMatchObject({
      code: "BERTH_CONFLICT",
      details: { version: "2" },
    });
    await expect(update("")).rejects.toMatchObject({ code: "BERTH_SPEC_INVALID" });
    const { spec } = await current();
    const renamed = { ...(spec ?? ServiceSpec.fromPartial({})), name: "shop_other" };
    await expect(
      calls.updateService({
        service: "shop_web",
        spec: renamed,
        pushedImages: [],
        expectedVersion: 0,
        force: false,
      }),
    ).rejects.toMatchObject({
      code: "BERTH_SPEC_INVALID",
      message: expect.stringContaining("the name of a service cannot be changed"),
    });
    expect(await healthy(2)).toMatchObject({ rollout: { state: State.COMPLETED, updatedSlots: 2 } });
  });

  it("replaces the tasks of an unchanged spec only when forced", async () => {
    await calls.deployStack(deployment([webService()]));
    await healthy(1);
    const [before] = await runningTasks(calls, "shop_web");
    const request = { service: "shop_web", spec: undefined, expectedVersion: 0, pushedImages: [] };
    expect(await calls.updateService({ ...request, force: false })).toMatchObject({
      service: { kind: Kind.UNCHANGED },
    });
    await calls.updateService({ ...request, force: true });
    await healthy(2);
    const [after] = await runningTasks(calls, "shop_web");
    expect(after?.specVersion).toBe(2);
    expect(after?.id).not.toBe(before?.id);
  });
});

describe("rollbackService()", () => {
  it("restores the newest other healthy version, or the requested version", async () => {
    await calls.deployStack(deployment([webService({ image: "web:1" })]));
    await healthy(1);
    await update("web:2");
    await healthy(2);
    const back = await calls.rollbackService({ service: "shop_web", toVersion: 0 });
    expect(back).toMatchObject({ service: { kind: Kind.UPDATED, version: 3 }, restoredVersion: 1 });
    const known = await healthy(3);
    expect(known.rollout).toMatchObject({
      state: State.ROLLBACK_COMPLETED,
      message: "rolled back to version 1 as requested",
    });
    await calls.rollbackService({ service: "shop_web", toVersion: 2 });
    expect(imageOf(await current())).toBe("web:2");
    await expect(calls.rollbackService({ service: "shop_web", toVersion: 77 })).rejects.toMatchObject({
      code: "BERTH_NOT_FOUND",
      message: expect.stringContaining("kept versions 1, 2, 3, 4"),
    });
    await healthy(4);
  });

  it("fails when no other version was healthy", async () => {
    await calls.deployStack(deployment([webService()]));
    await healthy(1);
    await expect(calls.rollbackService({ service: "shop_web", toVersion: 0 })).rejects.toMatchObject({
      code: "BERTH_NOT_FOUND",
    });
  });

  it("restores the last healthy version after any number of failed versions", async () => {
    await calls.deployStack(deployment([webService({ image: "web:1" })]));
    await healthy(1);
    for (let attempt = 0; attempt < 12; attempt += 1) await update(`never-healthy:${attempt}`);
    await update("crashing:1");
    await eventually("the rollback is completed", async () => {
      const { rollout } = await current();
      return rollout?.state === State.ROLLBACK_COMPLETED;
    });
    expect(imageOf(await current())).toBe("web:1");
  });

  it("pauses instead of restoring a published port that another service has by now", async () => {
    const ports = [{ target: 80, published: 8080 }];
    await calls.deployStack(deployment([webService({ ports })]));
    await healthy(1);
    await calls.deployStack(deployment([webService({ image: "never-healthy:2" })]));
    await calls.deployStack(deployment([service("other", { ports })]));
    const paused = await eventually("the rollout is paused", async () => {
      const known = await current();
      return known.rollout?.state === State.PAUSED ? known : undefined;
    });
    expect(paused.rollout?.message).toContain("is published by service shop_other");
    expect(imageOf(paused)).toBe("never-healthy:2");
  });
});

describe("services that run beside another service", () => {
  const beside = (options: ServiceOptions = {}): ServiceSpec => {
    return ServiceSpec.fromPartial({ ...service("proxy", options), placement: { beside: "shop_web" } });
  };
  const replicasOf = ({ spec }: Service): number | undefined =>
    spec?.mode?.$case === "replicated" ? spec.mode.value.replicas : undefined;

  it("companions follow their owner to its nodes and to its number of replicas", async () => {
    await calls.deployStack(deployment([beside({ replicas: 2 }), service("web", { replicas: 2 })]));
    const placements = async (name: string): Promise<readonly string[]> =>
      (await runningTasks(calls, name)).map(({ slot, nodeId }) => `${slot} ${nodeId}`).sort();
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 4 }] });
    expect(replicasOf(await current("shop_proxy"))).toBe(4);
    await eventually("the companion runs beside each task", async () => {
      const owners = await placements("shop_web");
      return owners.length === 4 && (await placements("shop_proxy")).join() === owners.join();
    });
    await calls.removeServices({ services: [], stack: "shop" });
  });

  it("companions are neither scaled nor removed without their owner", async () => {
    await calls.deployStack(deployment([beside(), service("web")]));
    await expect(
      calls.scaleServices({ services: [{ service: "shop_proxy", replicas: 2 }] }),
    ).rejects.toMatchObject({
      code: "BERTH_INPUT_INVALID",
      message: expect.stringContaining("the service has as many replicas as shop_web"),
    });
    await expect(calls.removeServices({ services: ["shop_web"], stack: "" })).rejects.toMatchObject({
      code: "BERTH_INPUT_INVALID",
      message: "no service was removed: shop_proxy runs beside shop_web; remove these services too",
    });
    await expect(calls.deployStack(deployment([beside()], { prune: true }))).rejects.toMatchObject({
      code: "BERTH_SPEC_INVALID",
      message: expect.stringContaining("shop_proxy: placement.beside: no such service: web"),
    });
    const cyclic = ServiceSpec.fromPartial({ ...service("web"), placement: { beside: "shop_proxy" } });
    await expect(
      calls.updateService({
        service: "shop_web",
        spec: cyclic,
        expectedVersion: 0,
        force: false,
        pushedImages: [],
      }),
    ).rejects.toMatchObject({ message: expect.stringContaining("in a cycle: web → proxy → web") });
    await calls.removeServices({ services: ["shop_web", "shop_proxy"], stack: "" });
  });
});
