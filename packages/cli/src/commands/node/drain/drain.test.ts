import { Availability, DesiredState, Node, type Task, TaskState } from "@berth/proto";
import { describe, expect, test, vi } from "vitest";
import { type FakeControlHandlers, webTask } from "../../../testing/fake-control.js";
import { berth } from "../../../testing/run-berth.js";

/** Real waits on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

const HOSTS = new Map([
  ["host-1", "node1"],
  ["host-2", "node2"],
]);

/** A cluster whose tasks change with each look at the drained node; the last sight stays. */
function cluster(sights: readonly (readonly Task[])[]) {
  const changes: [string, Availability][] = [];
  let looks = -1;
  const handlers: FakeControlHandlers = {
    updateNode: async ({ node, availability }) => {
      changes.push([node, availability]);
      const id = HOSTS.get(node) ?? "";
      return { node: Node.fromPartial({ id, availability, description: { hostname: node } }) };
    },
    listTasks: async ({ node, service }) => {
      if (node === "node1") looks = Math.min(looks + 1, sights.length - 1);
      const tasks = sights[looks] ?? [];
      const isAsked = (task: Task): boolean =>
        (node === "" || task.nodeId === node) && (service === "" || task.serviceId === service);
      return { tasks: tasks.filter(isAsked) };
    },
  };
  return { handlers, changes };
}

const there = webTask({ id: "a" });
const stopping = webTask({ id: "a", desiredState: DesiredState.SHUTDOWN });
const gone = webTask({ id: "a", desiredState: DesiredState.SHUTDOWN, status: { state: TaskState.SHUTDOWN } });
const successor = (state: TaskState, message = "") =>
  webTask({
    id: "b",
    nodeId: state === TaskState.NEW ? "" : "node2",
    createdAtMs: 5,
    status: { state, message },
  });

describe("node drain", () => {
  test("shows how the tasks leave, and ends when their successors run elsewhere", async () => {
    const { handlers, changes } = cluster([
      [there],
      [there, successor(TaskState.STARTING)],
      [stopping, successor(TaskState.RUNNING)],
      [gone, successor(TaskState.RUNNING)],
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

  test("waits for what left and does not run yet", async () => {
    const { handlers } = cluster([
      [stopping],
      [gone, successor(TaskState.PREPARING)],
      [gone, successor(TaskState.RUNNING)],
    ]);
    const { out } = await berth("node drain host-1", handlers);
    expect(out).toContain("shop_web: 1 of 1 moved, preparing 1\n");
  });

  test("warns of tasks that find no other node, though this one is empty", async () => {
    const pending = successor(TaskState.NEW, "1 node lacks 1.5 GiB memory, 1 node is drained");
    const { handlers } = cluster([[stopping], [gone, pending]]);
    const { code, err } = await berth("node drain host-1", handlers);
    expect([code, err]).toEqual([
      0,
      "warning: shop_web: no other node: 1 node lacks 1.5 GiB memory, 1 node is drained\n",
    ]);
  });

  test("says at the timeout what is left, and why", async () => {
    const failed = successor(TaskState.FAILED, "no such file: app.js");
    const former = webTask({ id: "old", status: { state: TaskState.FAILED, message: "long ago" } });
    const { handlers } = cluster([
      [there, former],
      [there, former, failed],
    ]);
    const { code, err } = await berth("node drain host-1 --timeout 500ms", handlers);
    expect([code, err]).toMatchInlineSnapshot(`
      [
        1,
        "error: host-1 still has tasks after 0.5 s; the drain goes on:
        shop_web: 0 of 1 moved
          its replacement failed: no such file: app.js
      Make room elsewhere, change what keeps them there, or take the node back: berth node activate
      (BERTH_NOT_CONVERGED)
      ",
      ]
    `);
  });

  test("an empty node is drained at once, and --detach never waits", async () => {
    const { handlers } = cluster([[]]);
    expect((await berth("node drain host-1", handlers)).out).toBe("Drained host-1: 0 tasks moved\n");
    const detached = cluster([[there]]);
    const { code, out } = await berth("node drain -d host-1 host-2", detached.handlers);
    expect([code, out]).toEqual([0, "Draining host-1, host-2\n"]);
  });

  test("-o json gives the services with their counts", async () => {
    const { handlers } = cluster([[there], [gone, successor(TaskState.RUNNING)]]);
    const { out } = await berth("node drain -o json host-1", handlers);
    expect(JSON.parse(out)).toEqual({
      nodes: [{ id: "node1", hostname: "host-1" }],
      services: [{ name: "shop_web", total: 1, moved: 1, note: "", stuck: [] }],
    });
  });
});

test("node activate and node pause say what the nodes are then", async () => {
  const { handlers, changes } = cluster([]);
  const active = await berth("node activate host-1 host-2", handlers);
  expect(active.out).toBe("host-1 is active: it gets tasks\nhost-2 is active: it gets tasks\n");
  const paused = await berth("node pause host-1", handlers);
  expect(paused.out).toBe("host-1 is paused: it keeps its tasks and gets no new ones\n");
  expect(changes).toEqual([
    ["host-1", Availability.ACTIVE],
    ["host-2", Availability.ACTIVE],
    ["host-1", Availability.PAUSE],
  ]);
});
