import { TaskState } from "@berth/proto";
import { beforeEach, describe, expect, test } from "vitest";
import { buildNode, buildService, buildSpec, buildTask } from "../core/testing/records.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import { findRunningTask, findTarget } from "./lookup-task.js";

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
])("runningTask finds %s", (reference, id) => {
  expect(findRunningTask(state, reference).id).toBe(id);
});

describe("runningTask() says", () => {
  test("what there is to choose from", () => {
    expect(() => findRunningTask(state, "shop_web")).toThrow(
      /^2 tasks of shop_web run\. Choose one: shop_web\.1 \(on host\.one\), shop_web\.2 \(on host\.one\)\./,
    );
  });

  test("why none runs", () => {
    expect(() => findRunningTask(state, "shop_db")).toThrow(/\(the newest is new\): 1 node is drained/);
    expect(() => findRunningTask(state, "old")).toThrow(/No task of "old" runs \(the newest is failed\)/);
  });

  test("what a wrong name may have meant", () => {
    expect(() => findRunningTask(state, "shop_we")).toThrow(/Did you mean shop_web\?/);
    expect(() => findRunningTask(state, "shop_web.9")).toThrow(/There is no service "shop_web\.9"/);
  });
});

test("findTarget takes ended tasks of a slot along, for their logs", () => {
  const target = findTarget(state, "shop_web.2");
  expect(target.kind === "service" && target.tasks.map(({ id }) => id).sort()).toEqual(["old", "taskb"]);
});
