import { type Node, type Service, type Task, TaskState } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { getResourceRequest, occupiesNode } from "../core/scheduler/resource-request.js";
import { buildNode, buildService, buildSpec, buildTask } from "../core/testing/records.js";
import type { Change } from "./change.js";
import { ClusterState, type Committed } from "./cluster-state.js";

const reserving = buildSpec({
  task: {
    container: { image: "x" },
    reservations: { nanoCpus: 3, memoryBytes: 7, pids: 5, generic: { gpu: 2 } },
    networks: [{ network: "shop_back" }],
  },
});

const id = fc.constantFrom("a", "b", "c");

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constant("put-task" as const),
    task: fc
      .record({
        id: fc.constantFrom("t1", "t2", "t3", "t4", "t5"),
        serviceId: id,
        nodeId: fc.constantFrom("", "n1", "n2"),
        state: fc.constantFrom(TaskState.NEW, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.FAILED),
      })
      .map(({ state, ...rest }) => buildTask({ ...rest, status: { state } })),
  }),
  fc.record({
    kind: fc.constant("delete-task" as const),
    serviceId: id,
    taskId: fc.constantFrom("t1", "t2", "t3", "t4", "t5"),
  }),
  fc.record({
    kind: fc.constant("put-node" as const),
    node: fc.constantFrom("n1", "n2").map((nodeId) => buildNode({ id: nodeId })),
  }),
  fc.record({ kind: fc.constant("delete-node" as const), nodeId: fc.constantFrom("n1", "n2") }),
  fc.record({
    kind: fc.constant("put-service" as const),
    service: id.map((serviceId) =>
      buildService({ id: serviceId, spec: buildSpec({ name: `shop_${serviceId}` }) }),
    ),
  }),
  fc.record({ kind: fc.constant("delete-service" as const), serviceId: id }),
);

function withSpecs(): ClusterState {
  const state = new ClusterState();
  const specs = ["a", "b", "c"].map(
    (serviceId): Committed => ({
      change: { kind: "put-revision", serviceId, version: 1, spec: reserving },
      revision: 1n,
    }),
  );
  state.apply(specs);
  return state;
}

/** Everything that can be seen of a state, worked out in the obvious slow way where it is kept incrementally. */
function snapshot(state: ClusterState): unknown {
  const tasks = [...state.tasks.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  return {
    tasks,
    services: [...state.services.values()].map(({ id: serviceId }) => serviceId).sort(),
    nodes: [...state.nodes.nodes.values()]
      .map(({ node, reserved, taskCount, hostPorts }) => ({
        node,
        reserved: { ...reserved, generic: [...reserved.generic], networks: [...reserved.networks] },
        taskCount,
        hostPorts: [...hostPorts],
      }))
      .sort((a, b) => (a.node.id < b.node.id ? -1 : 1)),
    unplaced: [...state.tasks.unplacedServices()].sort(),
    counts: [...state.tasks.countByState()].filter(([, count]) => count > 0).sort(),
  };
}

function expectConsistent(state: ClusterState): void {
  const tasks: readonly Task[] = [...state.tasks.values()];
  for (const nodeId of ["n1", "n2"]) {
    const there = tasks.filter((task) => task.nodeId === nodeId);
    expect([...state.tasks.ofNode(nodeId).keys()].sort()).toEqual(there.map((task) => task.id).sort());
    const holding = there.filter(occupiesNode);
    const snapshot = state.nodes.nodes.get(nodeId);
    if (snapshot === undefined) continue;
    expect(snapshot.taskCount).toBe(holding.length);
    const count = holding.length;
    expect(snapshot.reserved).toEqual({
      nanoCpus: 3 * count,
      memoryBytes: 7 * count,
      pids: 5 * count,
      generic: new Map(count === 0 ? [] : [["gpu", 2 * count]]),
      networks: new Map(count === 0 ? [] : [["shop_back", count]]),
    });
  }
  for (const serviceId of ["a", "b", "c"]) {
    const own = tasks.filter((task) => task.serviceId === serviceId).map((task) => task.id);
    expect([...state.tasks.ofService(serviceId).keys()].sort()).toEqual(own.sort());
  }
  expect(getResourceRequest(reserving).nanoCpus).toBe(3);
}

describe("ClusterState", () => {
  it("keeps its indexes and the nodes' usage consistent through any changes (property)", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const state = withSpecs();
        changes.forEach((one, index) => {
          state.apply([{ change: one, revision: BigInt(index + 2) }]);
          expectConsistent(state);
        });
      }),
    );
  });

  it("undoes everything that a draft wrote, in any order (property)", () => {
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 30 }),
        fc.array(change, { maxLength: 30 }),
        (before, drafted) => {
          const state = withSpecs();
          state.apply(before.map((one, index) => ({ change: one, revision: BigInt(index + 2) })));
          const expected = snapshot(state);
          const changedTo = state.draft((draft) => {
            for (const one of drafted) draft.write([one]);
            return snapshot(state);
          });
          expect(snapshot(state)).toEqual(expected);
          expectConsistent(state);
          state.apply(drafted.map((one, index) => ({ change: one, revision: BigInt(1_000 + index) })));
          expect(snapshot(state)).toEqual(changedTo);
        },
      ),
    );
  });

  it("ignores changes that are older than the known record, deletions too", () => {
    const state = new ClusterState();
    const put = (revision: bigint, message: string): Committed => ({
      change: { kind: "put-task", task: buildTask({ status: { message } }) },
      revision,
    });
    const remove: Change = { kind: "delete-task", serviceId: "s1", taskId: "t1" };
    state.apply([put(5n, "new")]);
    state.apply([put(4n, "old")]);
    expect(state.tasks.get("t1")?.status?.message).toBe("new");
    state.apply([{ change: remove, revision: 7n }]);
    state.apply([put(6n, "late")]);
    expect(state.tasks.get("t1")).toBeUndefined();
  });

  it("emits one delta per batch, with the first old and the last new record", () => {
    const state = new ClusterState();
    const node: Node = buildNode();
    const service: Service = buildService();
    state.apply([{ change: { kind: "put-node", node }, revision: 1n }]);
    const seen: unknown[] = [];
    state.onChange(({ services, tasks, nodes }) => seen.push([[...services], [...tasks], [...nodes.keys()]]));
    const first = buildTask({ status: { state: TaskState.ASSIGNED } });
    const second = buildTask();
    state.apply([
      { change: { kind: "put-service", service }, revision: 2n },
      { change: { kind: "put-task", task: first }, revision: 2n },
      { change: { kind: "put-task", task: second }, revision: 3n },
    ]);
    expect(seen).toEqual([[["s1"], [["t1", { before: undefined, after: second }]], []]]);
  });

  it("calls the other listeners when one of them throws", () => {
    const errors: unknown[] = [];
    const state = new ClusterState((error) => errors.push(error));
    const failure = new Error("listener failed");
    const changedNodes: string[] = [];
    state.onChange(() => {
      throw failure;
    });
    state.onChange(({ nodes }) => changedNodes.push(...nodes.keys()));
    state.apply([{ change: { kind: "put-node", node: buildNode({ id: "n1" }) }, revision: 1n }]);
    expect(changedNodes).toEqual(["n1"]);
    expect(errors).toEqual([failure]);
  });

  it("throws the error of a listener after it has called all of them when it has no error handler", () => {
    const state = new ClusterState();
    const changedNodes: string[] = [];
    state.onChange(() => {
      throw new Error("listener failed");
    });
    state.onChange(({ nodes }) => changedNodes.push(...nodes.keys()));
    const apply = (): void =>
      state.apply([{ change: { kind: "put-node", node: buildNode({ id: "n1" }) }, revision: 1n }]);
    expect(apply).toThrow("listener failed");
    expect(changedNodes).toEqual(["n1"]);
  });
});
