import {
  Availability,
  DesiredState,
  Health,
  NodeState,
  Placement,
  RestartPolicy_Condition,
  type Task,
  TaskState,
} from "@berth/proto";
import { describe, expect, it } from "vitest";
import { describeAction as lineFor, type Plan } from "./model/plan.js";
import type { ServiceSnapshot } from "./model/snapshot.js";
import { reconcile } from "./reconcile.js";
import {
  buildCluster,
  buildContext,
  buildNode,
  buildService,
  buildSnapshot,
  buildSpec,
  buildTask,
  GIB,
} from "./testing/records.js";

const NOW = 1_000_000;
const NODES = ["n1", "n2", "n3"].map((id) => buildNode({ id }));

function planFor(snapshot: Partial<ServiceSnapshot>, nodes = NODES): Plan {
  const spec = snapshot.spec ?? buildSpec();
  const full = buildSnapshot({ service: buildService({ spec }), spec, tasks: [], ...snapshot });
  return reconcile(full, buildCluster(nodes, [full]), buildContext({ nowMs: NOW }));
}

const lines = (plan: Plan): readonly string[] => plan.actions.map(lineFor);
const replicas = (count: number) => ({ $case: "replicated", value: { replicas: count } }) as const;

describe("reconcile of a replicated service", () => {
  it("spreads new tasks over the nodes", () => {
    expect(lines(planFor({ spec: buildSpec({ mode: replicas(4) }) }))).toEqual([
      "create task a1 (shop_web.1) on node n1",
      "create task a2 (shop_web.2) on node n2",
      "create task a3 (shop_web.3) on node n3",
      "create task a4 (shop_web.4) on node n1",
    ]);
  });

  it("plans nothing when the service is in its desired state", () => {
    expect(planFor({ tasks: [buildTask()] })).toEqual({ actions: [], problems: [] });
  });

  it("creates NEW tasks with the reason why they have no node", () => {
    const nodes = [
      buildNode({ id: "n1", description: { memoryBytes: GIB } }),
      buildNode({ id: "n2", description: { memoryBytes: GIB } }),
      buildNode({ id: "n3", availability: Availability.DRAIN }),
    ];
    const spec = buildSpec({ task: { reservations: { memoryBytes: 1.5 * GIB } } });
    expect(lines(planFor({ spec }, nodes))).toEqual([
      "create task a1 (shop_web.1) without a node: 1 node is drained, 2 nodes lack 1.5 GiB of memory",
    ]);
  });

  it("marks the tasks of a down node as disconnected and replaces them in the same plan", () => {
    const nodes = [buildNode({ id: "n1", state: NodeState.DOWN }), buildNode({ id: "n2" })];
    expect(lines(planFor({ tasks: [buildTask()] }, nodes))).toEqual([
      "mark task t1 (shop_web.1) as disconnected: node n1 is down",
      "create task a1 (shop_web.1) on node n2",
    ]);
  });

  it("deletes a task that was to be removed when its node is down, and one that was lost", () => {
    const nodes = [buildNode({ id: "n1" }), buildNode({ id: "n2", state: NodeState.DOWN })];
    const leaving = { desiredState: DesiredState.REMOVE, slot: 2 };
    const lost = { status: { state: TaskState.LOST } };
    const tasks = [
      buildTask(),
      buildTask({ id: "a", nodeId: "n2", ...leaving }),
      buildTask({ id: "b", ...leaving, ...lost }),
    ];
    const reason = "its node is gone";
    expect(lines(planFor({ tasks }, nodes))).toEqual([
      `delete task a (shop_web.2): ${reason}`,
      `delete task b (shop_web.2): ${reason}`,
    ]);
  });

  it("keeps the tasks of a paused node and places none on it", () => {
    const nodes = [buildNode({ id: "n1", availability: Availability.PAUSE }), buildNode({ id: "n2" })];
    const spec = buildSpec({ mode: replicas(3) });
    expect(lines(planFor({ spec, tasks: [buildTask()] }, nodes))).toEqual([
      "create task a1 (shop_web.2) on node n2",
      "create task a2 (shop_web.3) on node n2",
    ]);
  });

  it("scales down empty and unready slots first, then on the most loaded node, highest slot first", () => {
    const on = (slot: number, nodeId: string, over = {}): Task =>
      buildTask({ id: `t${slot}`, slot, nodeId, ...over });
    const unhealthy = { status: { state: TaskState.RUNNING, health: Health.UNHEALTHY } };
    const waiting = { status: { state: TaskState.NEW } };
    const tasks = [
      on(1, "n1"),
      on(2, "n2"),
      on(3, "n1"),
      on(4, "n3"),
      on(5, "n2", unhealthy),
      on(6, "", waiting),
    ];
    const downTo = (count: number): readonly string[] =>
      planFor({ spec: buildSpec({ mode: replicas(count) }), tasks }).actions.flatMap((action) =>
        "task" in action ? [action.task.id] : [],
      );
    expect(downTo(5)).toEqual(["t6"]);
    expect(downTo(4)).toEqual(["t6", "t5"]);
    expect(downTo(3).toSorted()).toEqual(["t3", "t5", "t6"]);
    expect(downTo(2).toSorted()).toEqual(["t3", "t4", "t5", "t6"]);
  });

  it("does not reuse a slot number before its previous task has stopped", () => {
    const leaving = buildTask({ desiredState: DesiredState.REMOVE });
    expect(lines(planFor({ tasks: [leaving] }))).toEqual(["create task a1 (shop_web.2) on node n2"]);
  });

  it("restarts a failed task with a growing delay, and requests to be called again", () => {
    const failed = (restarts: number): Task =>
      buildTask({ restarts, status: { state: TaskState.FAILED, sinceMs: NOW, message: "exit code 1" } });
    const first = planFor({ tasks: [failed(0)] });
    expect(first.actions).toMatchObject([{ kind: "create-task", task: { slot: 1, restarts: 1 } }]);
    const later = planFor({ tasks: [failed(5)] });
    expect(later.actions).toEqual([]);
    expect(later.requeueAtMs).toBeGreaterThan(NOW + 10_000);
    expect(later.problems).toEqual(["slot 1: waiting to restart: exit code 1"]);
  });

  it("resets the restart count once a task has been ready for a minute", () => {
    const since = (ageMs: number): Task =>
      buildTask({ restarts: 3, status: { state: TaskState.RUNNING, sinceMs: NOW - ageMs } });
    expect(planFor({ tasks: [since(59_000)] })).toMatchObject({ actions: [], requeueAtMs: NOW + 1_000 });
    expect(lines(planFor({ tasks: [since(60_000)] }))).toEqual([
      "reset the restart count of task t1 (shop_web.1)",
    ]);
  });

  it("keeps five ended tasks of a slot", () => {
    const ended = [1, 2, 3, 4, 5, 6, 7].map((at) =>
      buildTask({ id: `e${at}`, createdAtMs: at, status: { state: TaskState.FAILED } }),
    );
    expect(lines(planFor({ tasks: [...ended, buildTask({ createdAtMs: 9 })] }))).toEqual([
      "remove task e2 (shop_web.1): history limit",
      "remove task e1 (shop_web.1): history limit",
    ]);
  });

  it("does not write an unchanged reason again", () => {
    const spec = buildSpec({ placement: { constraints: ["node.labels.zone == a"] } });
    const message = "3 nodes do not meet node.labels.zone == a";
    const waiting = (text: string): Task =>
      buildTask({ nodeId: "", status: { state: TaskState.NEW, message: text } });
    expect(planFor({ spec, tasks: [waiting(message)] }).actions).toEqual([]);
    expect(lines(planFor({ spec, tasks: [waiting("1 node is down")] }))).toEqual([
      `task t1 (shop_web.1) has no node: ${message}`,
    ]);
  });

  it("assigns a waiting task when a node has room", () => {
    const waiting = buildTask({ nodeId: "", status: { state: TaskState.NEW, message: "no room" } });
    expect(lines(planFor({ tasks: [waiting] }))).toEqual(["assign task t1 (shop_web.1) to node n1"]);
  });

  it("replaces a waiting task whose spec has changed, so that the new reservations count", () => {
    const waiting = buildTask({ nodeId: "", status: { state: TaskState.NEW, message: "no room" } });
    expect(lines(planFor({ service: buildService({ version: 2 }), tasks: [waiting] }))).toEqual([
      "delete task t1 (shop_web.1): another task fills its slot",
      "create task a1 (shop_web.1) on node n1",
    ]);
  });

  it("keeps a completed one-shot task", () => {
    const spec = buildSpec({ task: { restart: { condition: RestartPolicy_Condition.NONE } } });
    const tasks = [buildTask({ status: { state: TaskState.COMPLETE } })];
    expect(planFor({ spec, tasks })).toEqual({ actions: [], problems: [] });
  });
});

describe("reconcile of a global service", () => {
  const global = buildSpec({ mode: { $case: "global", value: {} } });
  const on = (nodeId: string, over = {}): Task => buildTask({ id: `t-${nodeId}`, slot: 0, nodeId, ...over });

  it("runs one task on each node that meets the constraints", () => {
    const spec = { ...global, placement: Placement.fromPartial({ constraints: ["node.hostname != n2"] }) };
    expect(lines(planFor({ spec }))).toEqual([
      "create task a1 (shop_web) on node n1",
      "create task a2 (shop_web) on node n3",
    ]);
  });

  it("has one waiting task for each node without room, and assigns it to the first that has", () => {
    const spec = { ...global, task: buildSpec({ task: { reservations: { memoryBytes: 8 * GIB } } }).task };
    const small = NODES.map((one) => buildNode({ id: one.id, description: { memoryBytes: GIB } }));
    const made = planFor({ spec }, small).actions;
    expect(made).toMatchObject([1, 2, 3].map(() => ({ kind: "create-task", task: { nodeId: "", slot: 0 } })));
    const waiting = made.flatMap((action) => (action.kind === "create-task" ? [action.task] : []));
    expect(planFor({ spec, tasks: waiting }, small).actions).toEqual([]);
    const [first, second] = small;
    const grown = [first, second, buildNode({ id: "n3" })].flatMap((one) => one ?? []);
    expect(lines(planFor({ spec, tasks: waiting }, grown))).toEqual([
      "assign task a1 (shop_web) to node n3",
      "task a2 (shop_web) has no node: 2 nodes lack 8 GiB of memory",
      "task a3 (shop_web) has no node: 2 nodes lack 8 GiB of memory",
    ]);
  });

  it("removes its task from a drained node, and keeps that of a paused node", () => {
    const nodes = [
      buildNode({ id: "n1", availability: Availability.DRAIN }),
      buildNode({ id: "n2", availability: Availability.PAUSE }),
    ];
    expect(lines(planFor({ spec: global, tasks: [on("n1"), on("n2")] }, nodes))).toEqual([
      "remove task t-n1 (shop_web): its slot is no longer needed",
    ]);
  });

  it("keeps the task of a down node until it returns, and creates another when it was lost", () => {
    const dead = [buildNode({ id: "n1", state: NodeState.DOWN })];
    expect(lines(planFor({ spec: global, tasks: [on("n1")] }, dead))).toEqual([
      "mark task t-n1 (shop_web) as disconnected: node n1 is down",
    ]);
    const starting = on("n1", { status: { state: TaskState.STARTING } });
    expect(lines(planFor({ spec: global, tasks: [starting] }, dead))).toEqual([
      "mark task t-n1 (shop_web) as lost: node n1 is down",
    ]);
    const lost = on("n1", { status: { state: TaskState.LOST } });
    expect(planFor({ spec: global, tasks: [lost] }, dead).actions).toEqual([]);
    expect(lines(planFor({ spec: global, tasks: [lost] }, [buildNode({ id: "n1" })]))).toEqual([
      "create task a1 (shop_web) on node n1",
    ]);
  });
});

describe("reconcile of a service that is being removed", () => {
  const service = buildService({ removing: true });

  it("removes tasks through their agents, and deletes those that no agent can remove", () => {
    const nodes = [buildNode({ id: "n1" }), buildNode({ id: "n2", state: NodeState.DOWN })];
    const tasks = [
      buildTask({ id: "here" }),
      buildTask({ id: "dead", nodeId: "n2" }),
      buildTask({ id: "nowhere", nodeId: "", status: { state: TaskState.NEW } }),
      buildTask({ id: "asked", desiredState: DesiredState.REMOVE }),
    ];
    expect(lines(planFor({ service, tasks }, nodes))).toEqual([
      "remove task here (shop_web.1): its service is removed",
      "delete task dead (shop_web.1): its service is removed",
      "delete task nowhere (shop_web.1): its service is removed",
    ]);
  });

  it("deletes the service when the last task is gone", () => {
    expect(lines(planFor({ service }))).toEqual(["delete service s1: no tasks are left"]);
  });
});
