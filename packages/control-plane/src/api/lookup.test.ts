import { TaskState } from "@berth/proto";
import { beforeEach, describe, expect, test } from "vitest";
import { buildNode, buildService, buildSpec, buildTask } from "../core/testing/records.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import { findNode } from "./lookup.js";
import { findRunningTask, findTarget } from "./lookup-target.js";

let state: ClusterState;

const running = { state: TaskState.RUNNING, containerId: "c" };

function task(fields: Parameters<typeof buildTask>[0]): Change {
  return { kind: "put-task", task: buildTask({ status: running, ...fields }) };
}

beforeEach(() => {
  state = new ClusterState();
  const changes: Change[] = [
    { kind: "put-node", node: buildNode({ id: "n1", description: { hostname: "host.one" } }) },
    { kind: "put-service", service: buildService({ id: "web", spec: buildSpec({ name: "shop_web" }) }) },
    { kind: "put-service", service: buildService({ id: "dns", spec: buildSpec({ name: "shop.dns" }) }) },
    { kind: "put-service", service: buildService({ id: "db", spec: buildSpec({ name: "shop_db" }) }) },
    task({ id: "taska", serviceId: "web", slot: 1 }),
    task({ id: "taskb", serviceId: "web", slot: 2 }),
    task({ id: "old", serviceId: "web", slot: 2, status: { state: TaskState.FAILED, containerId: "c" } }),
    task({ id: "each", serviceId: "dns", serviceName: "shop.dns", slot: 0 }),
    task({
      id: "stuck",
      serviceId: "db",
      serviceName: "shop_db",
      nodeId: "",
      status: { state: TaskState.NEW, message: "1 node is drained" },
    }),
  ];
  state.apply(changes.map((change) => ({ change, revision: 1n })));
});

test.each([
  ["shop_web.1", "taska"],
  ["shop_web.2", "taskb"],
  ["shop_web.2.taskb", "taskb"],
  ["taska", "taska"],
  ["taskb", "taskb"],
  ["shop.dns", "each"],
  ["shop.dns.host.one", "each"],
  ["shop.dns.n1", "each"],
])("findRunningTask() finds %s", (reference, id) => {
  expect(findRunningTask(state, reference).id).toBe(id);
});

test("does not match an empty reference with a node that has no hostname", () => {
  const node = { ...buildNode({ id: "n2" }), description: undefined };
  state.apply([{ change: { kind: "put-node", node }, revision: 2n }]);
  expect(() => findNode(state, "")).toThrow("no such node");
});

describe("findRunningTask", () => {
  test("lists the running tasks to choose from", () => {
    expect(() => findRunningTask(state, "shop_web")).toThrow(
      /^service shop_web has 2 running tasks; choose one of shop_web\.1 \(on host\.one\), shop_web\.2 \(on host\.one\)$/,
    );
  });

  test("says why no task runs", () => {
    expect(() => findRunningTask(state, "shop_db")).toThrow(/\(the newest task is new\): 1 node is drained/);
    expect(() => findRunningTask(state, "old")).toThrow(
      /"old" has no running task \(the newest task is failed\)/,
    );
  });

  test("suggests similar names", () => {
    expect(() => findRunningTask(state, "shop_we")).toThrow(/did you mean shop_web\?/);
    expect(() => findRunningTask(state, "shop_web.9")).toThrow(/no such service: "shop_web\.9"/);
  });
});

test("findTarget() includes the ended tasks of a slot, for their logs", () => {
  const target = findTarget(state, "shop_web.2");
  expect(target.kind === "service" && target.tasks.map(({ id }) => id).sort()).toEqual(["old", "taskb"]);
});
