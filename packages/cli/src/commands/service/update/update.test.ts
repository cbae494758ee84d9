import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError, ResolveImage, Rollout_State, type UpdateServiceRequest } from "@berth/proto";
import { describe, expect, test, vi } from "vitest";
import { type FakeControlHandlers, watching, webService, webTask } from "../../../testing/fake-control.js";
import { berth } from "../../../testing/run-berth.js";

/** The tests wait in real time, and the machine may be busy. */
vi.setConfig({ testTimeout: 60_000 });

const SERVICE_ID = "svcwebxxxxxxxxxxxx";
const getService: FakeControlHandlers["getService"] = async () => ({
  service: webService(),
  ingress: [],
  revisions: [],
});
const accepted: NonNullable<FakeControlHandlers["updateService"]> = async () => ({
  service: { serviceId: SERVICE_ID, name: "shop_web", kind: 2, version: 2 },
  warnings: [],
});

/** The service at version 2, with a rollout. */
function position(
  rollout: Record<string, unknown>,
  summary: Record<string, unknown> = {},
  tasks = [webTask()],
) {
  const base = webService(summary);
  const service = { ...base.service, version: 2, templateVersion: 2, rollout };
  return {
    services: [
      { serviceId: SERVICE_ID, removed: false, summary: webService({ ...summary, service }), tasks },
    ],
  };
}

const unconverged = { converged: false, running: 1, desired: 6 };

describe("service update", () => {
  test("--with-registry-auth alone sends Docker's credentials for the registry of the image", async () => {
    const directory = await mkdtemp(join(tmpdir(), "berth-update-"));
    const auths = {
      "docker.io": { username: "ci", password: "hunter2" },
      "other.io": { username: "x", password: "y" },
    };
    await writeFile(join(directory, "config.json"), JSON.stringify({ auths }));
    const requests: UpdateServiceRequest[] = [];
    const updateService: typeof accepted = async (request, context) => {
      requests.push(request);
      return accepted(request, context);
    };
    const options = { env: { DOCKER_CONFIG: directory } };
    const line = "service update --with-registry-auth --detach shop_web";
    expect((await berth(line, { getService, updateService }, options)).code).toBe(0);
    await rm(directory, { recursive: true });
    const credentials = { server: "docker.io", username: "ci", secret: "hunter2", isIdentityToken: false };
    expect(requests.map(({ registryLogins }) => registryLogins)).toEqual([{ credentials: [credentials] }]);
  });

  test("applies the flags to the current spec and prints the rollout", async () => {
    const requests: UpdateServiceRequest[] = [];
    const { code, out, err } = await berth(
      "service update --image nginx:1.28 --env-add A=1 --force shop_web",
      {
        getService,
        updateService: async (request, context) => {
          requests.push(request);
          return accepted(request, context);
        },
        watchServices: watching(
          position(
            { state: Rollout_State.UPDATING, fromVersion: 1, toVersion: 2, updatedSlots: 3 },
            unconverged,
          ),
          position({ state: Rollout_State.COMPLETED, fromVersion: 1, toVersion: 2, updatedSlots: 6 }),
        ),
      },
    );
    expect([code, out, err]).toMatchInlineSnapshot(`
      [
        0,
        "Service shop_web updated, version 2
      shop_web: updating 3/6
      shop_web: 2/2 running
      ",
        "",
      ]
    `);
    expect(requests).toMatchObject([
      {
        service: SERVICE_ID,
        expectedVersion: 1,
        force: true,
        spec: { name: "shop_web", task: { container: { image: "nginx:1.28", env: ["A=1"] } } },
      },
    ]);
  });

  test("--replicas is rejected for an autoscaled service", async () => {
    const { service } = webService();
    const spec = { ...service?.spec, autoscale: { min: 2, max: 10, targetCpuPercent: 70 } };
    const { code, err } = await berth("service update --replicas 3 shop_web", {
      getService: async () => ({
        service: webService({ service: { ...service, spec } }),
        ingress: [],
        revisions: [],
      }),
    });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        2,
        "error: service shop_web was not updated: --replicas: the service is autoscaled between 2 and 10 replicas; change x-berth.autoscale in its Compose file instead
      (BERTH_INPUT_INVALID)
      ",
      ]
    `);
  });

  test("--resolve-image always is a change of its own, and prints the warnings of the server", async () => {
    const modes: (ResolveImage | undefined)[] = [];
    const { code, err } = await berth("service update --resolve-image always -d shop_web", {
      getService,
      updateService: async (request, context) => {
        modes.push(request.resolveImage);
        return { ...(await accepted(request, context)), warnings: ["image nginx could not be resolved"] };
      },
    });
    expect([code, err, modes]).toEqual([
      0,
      "warning: image nginx could not be resolved\n",
      [ResolveImage.ALWAYS],
    ]);
  });

  test("reads the service again after a conflicting change", async () => {
    const versions: number[] = [];
    const { code } = await berth("service update --replicas 3 -d shop_web", {
      getService: async () => ({
        service: webService({ service: { ...webService().service, version: versions.length + 1 } }),
        ingress: [],
        revisions: [],
      }),
      updateService: async (request, context) => {
        versions.push(request.expectedVersion);
        if (versions.length < 3) {
          throw new BerthError({ code: "BERTH_CONFLICT", message: "changed meanwhile" });
        }
        return accepted(request, context);
      },
    });
    expect([code, versions]).toEqual([0, [1, 2, 3]]);
  });

  test.each([
    ["without flags it fails", "service update shop_web"],
    ["--rollback cannot be combined with other changes", "service update --rollback --image a shop_web"],
    ["an invalid value is not sent to the server", "service update --update-order sideways shop_web"],
  ])("%s", async (_, line) => {
    const { code, err } = await berth(line, { getService });
    expect(code).toBe(2);
    expect(err).toMatchSnapshot();
  });

  test("an update that is rolled back exits with code 1 and the reason of each failed task", async () => {
    const failing = webTask({
      id: "bad",
      specVersion: 2,
      status: { state: 7, exitCode: 3, message: "no such file: app.js" },
    });
    const { code, err } = await berth("service update --image nginx:1.28 shop_web", {
      getService,
      updateService: accepted,
      watchServices: watching(
        position({ state: Rollout_State.UPDATING, fromVersion: 1, toVersion: 2 }, unconverged, [failing]),
        position(
          { state: Rollout_State.ROLLING_BACK, fromVersion: 2, toVersion: 3, message: "1 of 6 failed" },
          unconverged,
        ),
        position({
          state: Rollout_State.ROLLBACK_COMPLETED,
          fromVersion: 2,
          toVersion: 3,
          message: "rolled back to version 1 because 1 of 6 failed",
        }),
      ),
      streamLogs: async function* () {},
    });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        1,
        "error: the update failed and was rolled back:
        shop_web: rolled back to version 1 because 1 of 6 failed
          shop_web.1: failed: exit code 3: no such file: app.js
      For more output, run: berth service logs SERVICE
      (BERTH_ROLLED_BACK)
      ",
      ]
    `);
  });

  test("includes tasks that failed before the wait started", async () => {
    const late = webTask({
      id: "x",
      slot: 2,
      specVersion: 2,
      status: { state: 9, message: "no such image" },
    });
    const former = webTask({ id: "y", specVersion: 1, status: { state: 7, message: "long ago" } });
    const undone = { state: Rollout_State.ROLLBACK_COMPLETED, fromVersion: 2, toVersion: 3 };
    const { err } = await berth("service update --image nginx:1.28 shop_web", {
      getService,
      updateService: accepted,
      watchServices: watching(position(undone)),
      listTasks: async () => ({ tasks: [former, late] }),
      streamLogs: async function* () {},
    });
    expect(err).toContain("    shop_web.2: rejected: no such image\n");
    expect(err).not.toContain("long ago");
  });

  test("fails at once when the update is paused", async () => {
    const handlers: FakeControlHandlers = {
      getService,
      updateService: accepted,
      watchServices: watching(
        position(
          { state: Rollout_State.PAUSED, fromVersion: 1, toVersion: 2, message: "2 of 6 failed" },
          unconverged,
        ),
      ),
      streamLogs: async function* () {},
    };
    const { code, err } = await berth("service update --image nginx:1.28 shop_web", handlers);
    expect([code, err]).toMatchInlineSnapshot(`
      [
        1,
        "error: the update failed and is paused; it does not resume automatically:
        shop_web: paused: 2 of 6 failed
      Update the service again, or run: berth service rollback SERVICE
      (BERTH_ROLLOUT_PAUSED)
      ",
      ]
    `);
  });

  test("ignores the outcome of an earlier update", async () => {
    const former = {
      state: Rollout_State.ROLLBACK_COMPLETED,
      fromVersion: 0,
      toVersion: 1,
      message: "long ago",
    };
    const { code } = await berth("service update --label-add a=b shop_web", {
      getService,
      updateService: accepted,
      watchServices: watching(position(former)),
    });
    expect(code).toBe(0);
  });
});

describe("service rollback", () => {
  const rollbackService: FakeControlHandlers["rollbackService"] = async ({ toVersion }) => ({
    service: { serviceId: SERVICE_ID, name: "shop_web", kind: 2, version: 2 },
    restoredVersion: toVersion || 1,
  });

  test("restores the requested version and succeeds", async () => {
    const rollingBack = { fromVersion: 1, toVersion: 2, message: "rolled back to version 1 as asked" };
    const { code, out, err } = await berth("service rollback --to 1 shop_web", {
      rollbackService,
      watchServices: watching(
        position({ ...rollingBack, state: Rollout_State.ROLLING_BACK, updatedSlots: 1 }, unconverged),
        position({ ...rollingBack, state: Rollout_State.ROLLBACK_COMPLETED }),
      ),
    });
    expect([code, out, err]).toMatchInlineSnapshot(`
      [
        0,
        "Service shop_web updated, version 2
      shop_web: updating 1/6
      shop_web: 2/2 running
      ",
        "Rolling shop_web back to version 1
      ",
      ]
    `);
  });

  test("service rollback is also available as service update --rollback", async () => {
    const { code, err } = await berth("service update --rollback -d shop_web", { rollbackService });
    expect([code, err]).toEqual([0, "Rolling shop_web back to version 1\n"]);
    expect((await berth("service rollback --to x shop_web", { rollbackService })).code).toBe(2);
  });
});
