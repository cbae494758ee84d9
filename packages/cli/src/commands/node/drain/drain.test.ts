import { Availability, DesiredState, Node, type Task, TaskState } from "@berth/proto";
import { describe, expect, test, vi } from "vitest";
import { type FakeControlHandlers, webTask } from "../../../testing/fake-control.js";
import { berth } from "../../../testing/run-berth.js";

/** The tests wait in real time, and the machine may be busy. */
vi.setConfig({ testTimeout: 60_000 });

const HOSTS = new Map([
  ["host-1", "node1"],
  ["host-2", "node2"],
]);

/** A cluster whose tasks change with each poll of the drained node. The last snapshot stays. */
function cluster(snapshots: readonly (readonly Task[])[]) {
  const changes: [string, Availability][] = [];
  let polls = -1;
  const handlers: FakeControlHandlers = {
    updateNode: async ({ node, availability }) => {
      changes.push([node, availability]);
      const id = HOSTS.get(node) ?? "";
      return { node: Node.fromPartial({ id, availability, description: { hostname: node } }) };
    },
    listTasks: async ({ node, service }) => {
      if (node === "node1") polls = Math.min(polls + 1, snapshots.length - 1);
      const tasks = snapshots[polls] ?? [];
      const isRequested = (task: Task): boolean =>
        (node === "" || task.nodeId === node) && (service === "" || task.serviceId === service);
      return { tasks: tasks.filter(isRequested) };
    },
  };
  return { handlers, changes };
}

const there = webTask({ id: "a" });
const stopping = webTask({ id: "a", desiredState: DesiredState.SHUTDOWN });
const gone = webTask({ id: "a", desiredState: DesiredState.SHUTDOWN, status: { state: TaskState.SHUTDOWN } });
const replacement = (state: TaskState, message = "") =>
  webTask({
    id: "b",
    nodeId: state === TaskState.NEW ? "" : "node2",
    createdAtMs: 5,
    status: { state, message },
  });

describe("node drain", () => {
  test("prints the progress and ends when the replacements run on other nodes", async () => {
    const { handlers, changes } = cluster([
      [there],
      [there, replacement(TaskState.STARTING)],
      [stopping, replacement(TaskState.RUNNING)],
      [gone, replacement(TaskState.RUNNING)],
    ]);
    const { code, out, err } = await berth("node drain host-1", handlers);
    expect([code, out, err]).toMatchInlineSnapshot(`
      [
        0,
        "shop_web: 0 of 1 moved
      shop_web: 0 of 1 moved, starting 1
      shop_web: 0 of 1 moved, stopping 1
      shop_web: 1 of 1 moved
      Drained host-1: 1 task moved
      ",
        "",
      ]
    `);
    expect(changes).toEqual([["host-1", Availability.DRAIN]]);
  });

  test("waits until moved tasks run", async () => {
    const { handlers } = cluster([
      [stopping],
      [gone, replacement(TaskState.PREPARING)],
      [gone, replacement(TaskState.RUNNING)],
    ]);
    const { out } = await berth("node drain host-1", handlers);
    expect(out).toContain("shop_web: 1 of 1 moved, preparing 1\n");
  });

  test("warns about tasks that fit on no other node after the node is empty", async () => {
    const pending = replacement(TaskState.NEW, "1 node lacks 1.5 GiB memory, 1 node is drained");
    const { handlers } = cluster([[stopping], [gone, pending]]);
    const { code, err } = await berth("node drain host-1", handlers);
    expect([code, err]).toEqual([
      0,
      "warning: shop_web: no suitable node: 1 node lacks 1.5 GiB memory, 1 node is drained\n",
    ]);
  });

  test("lists the remaining tasks and the reasons at the timeout", async () => {
    const failed = replacement(TaskState.FAILED, "no such file: app.js");
    const former = webTask({ id: "old", status: { state: TaskState.FAILED, message: "long ago" } });
    const { handlers } = cluster([
      [there, former],
      [there, former, failed],
    ]);
    const { code, err } = await berth("node drain host-1 --timeout 500ms", handlers);
    expect([code, err]).toMatchInlineSnapshot(`
      [
        1,
        "error: host-1 was not drained within 0.5 s; the drain continues in the background:
        shop_web: 0 of 1 moved
          replacement failed: no such file: app.js
      Free up resources on other nodes, relax the constraints, or cancel the drain: berth node activate NODE
      (BERTH_NOT_CONVERGED)
      ",
      ]
    `);
  });

  test("returns at once for an empty node and with --detach", async () => {
    const { handlers } = cluster([[]]);
    expect((await berth("node drain host-1", handlers)).out).toBe("Drained host-1: 0 tasks moved\n");
    const detached = cluster([[there]]);
    const { code, out } = await berth("node drain -d host-1 host-2", detached.handlers);
    expect([code, out]).toEqual([0, "Draining host-1, host-2\n"]);
  });

  test("-o json prints the services with their counts", async () => {
    const { handlers } = cluster([[there], [gone, replacement(TaskState.RUNNING)]]);
    const { out } = await berth("node drain -o json host-1", handlers);
    expect(JSON.parse(out)).toEqual({
      nodes: [{ id: "node1", hostname: "host-1" }],
      services: [{ name: "shop_web", total: 1, moved: 1, note: "", blockedReasons: [] }],
    });
  });
});

test("node activate and node pause print the new availability", async () => {
  const { handlers, changes } = cluster([]);
  const active = await berth("node activate host-1 host-2", handlers);
  expect(active.out).toBe("Node host-1 is active\nNode host-2 is active\n");
  const paused = await berth("node pause host-1", handlers);
  expect(paused.out).toBe("Node host-1 is paused: no new tasks are assigned to it\n");
  expect(changes).toEqual([
    ["host-1", Availability.ACTIVE],
    ["host-2", Availability.ACTIVE],
    ["host-1", Availability.PAUSE],
  ]);
});
