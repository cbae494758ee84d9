import { ServiceOutcome_Kind as Kind, type Service, ServiceSpec, Rollout_State as State } from "@berth/proto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";
import {
  deployment,
  runningTasks,
  type ServiceOptions,
  service,
  TestCluster,
  type TestServer,
} from "../harness/test-cluster.js";

let etcd: TestEtcd;
let cluster: TestCluster;
let calls: TestServer["calls"];

beforeAll(async () => {
  etcd = await startTestEtcd();
});
afterAll(() => etcd.close());
beforeEach(async () => {
  cluster = new TestCluster(etcd.endpoint);
  ({ calls } = await cluster.startServer());
  await cluster.startAgents(["a", "b"]);
});
afterEach(async () => {
  await calls.removeServices({ services: [], stack: "shop" }).catch(() => undefined);
  await eventually(
    "nothing is left",
    async () => (await calls.listServices({ stack: "" })).services.length === 0,
  );
  expect(await cluster.close()).toEqual([]);
});

/** Quick to watch, so that a test waits for what it is about. */
function quick(options: ServiceOptions = {}): ServiceSpec {
  const spec = service("web", options);
  return ServiceSpec.fromPartial({ ...spec, update: { monitorMs: 100, progressDeadlineMs: 2_000 } });
}

async function current(name = "shop_web"): Promise<Service> {
  const { service: summary } = await calls.getService({ service: name });
  if (summary?.service === undefined) throw new Error(`no service ${name}`);
  return summary.service;
}

/** Waits until a version runs well on all slots. */
const healthy = (version: number): Promise<Service> =>
  eventually(`version ${version} runs well`, async () => {
    const known = await current();
    return known.healthyVersion === version ? known : undefined;
  });

const imageOf = ({ spec }: Service): string => spec?.task?.container?.image ?? "";

async function update(image: string, expectedVersion = 0) {
  const { spec } = await current();
  if (spec?.task?.container === undefined) throw new Error("no spec");
  const changed = { ...spec, task: { ...spec.task, container: { ...spec.task.container, image } } };
  return calls.updateService({ service: "shop_web", spec: changed, expectedVersion, force: false });
}

describe("updateService()", () => {
  it("replaces the spec, refuses one made from an older version, and one that is invalid", async () => {
    await calls.deployStack(deployment([quick({ replicas: 2 })]));
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
      calls.updateService({ service: "shop_web", spec: renamed, expectedVersion: 0, force: false }),
    ).rejects.toMatchObject({
      code: "BERTH_SPEC_INVALID",
      message: expect.stringContaining("the name of a service cannot be changed"),
    });
    expect(await healthy(2)).toMatchObject({ rollout: { state: State.COMPLETED, updatedSlots: 2 } });
  });

  it("replaces tasks when forced, though nothing changed", async () => {
    await calls.deployStack(deployment([quick()]));
    await healthy(1);
    const [before] = await runningTasks(calls, "shop_web");
    const request = { service: "shop_web", spec: undefined, expectedVersion: 0 };
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
  it("goes to the newest other version that ran well, or to the one asked for", async () => {
    await calls.deployStack(deployment([quick({ image: "web:1" })]));
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

  it("has nowhere to go when nothing else ran well", async () => {
    await calls.deployStack(deployment([quick()]));
    await healthy(1);
    await expect(calls.rollbackService({ service: "shop_web", toVersion: 0 })).rejects.toMatchObject({
      code: "BERTH_NOT_FOUND",
    });
  });

  it("by itself finds the healthy version kept, however many bad ones came after it", async () => {
    await calls.deployStack(deployment([quick({ image: "web:1" })]));
    await healthy(1);
    for (let attempt = 0; attempt < 12; attempt += 1) await update(`never-healthy:${attempt}`);
    await update("crashing:1");
    await eventually("it went back", async () => {
      const { rollout } = await current();
      return rollout?.state === State.ROLLBACK_COMPLETED;
    });
    expect(imageOf(await current())).toBe("web:1");
  });

  it("by itself does not take a port back that another service has by now", async () => {
    const ports = [{ target: 80, published: 8080 }];
    await calls.deployStack(deployment([quick({ ports })]));
    await healthy(1);
    await calls.deployStack(deployment([quick({ image: "never-healthy:2" })]));
    await calls.deployStack(deployment([service("thief", { ports })]));
    const paused = await eventually("it gives up", async () => {
      const known = await current();
      return known.rollout?.state === State.PAUSED ? known : undefined;
    });
    expect(paused.rollout?.message).toContain("is published by service shop_thief");
    expect(imageOf(paused)).toBe("never-healthy:2");
  });
});
