import { NodeState, TaskState } from "@berth/proto";
import { beforeEach, describe, expect, test } from "vitest";
import { buildNode, buildService, buildSpec, buildTask } from "../core/testing/records.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import { nodeRemoval } from "./nodes.js";

const NOW = { now: 5_000, force: false };
const DOWN = buildNode({ id: "n1", state: NodeState.DOWN });

let state: ClusterState;

function have(...changes: readonly Change[]): void {
  state.apply(changes.map((change) => ({ change, revision: 1n })));
}

beforeEach(() => {
  state = new ClusterState();
  have({ kind: "put-node", node: DOWN });
});

describe("nodeRemoval()", () => {
  test("is refused while the node is up, unless forced", () => {
    const up = { ...DOWN, state: NodeState.READY };
    expect(() => nodeRemoval(up, state, NOW)).toThrow(/^node n1 is up:/);
    expect(nodeRemoval(up, state, { ...NOW, force: true })).toEqual([{ kind: "delete-node", nodeId: "n1" }]);
  });

  test("marks running tasks as lost, deletes ended tasks, and releases the ranges of networks", () => {
    const range = { networkId: "net", nodeId: "n1", range: "10.64.8.0/25", gateway: "10.64.8.1" };
    const ended = { state: TaskState.FAILED };
    have(
      { kind: "put-task", task: buildTask({ id: "runs" }) },
      { kind: "put-task", task: buildTask({ id: "ended", status: ended }) },
      { kind: "put-range", range },
    );
    expect(nodeRemoval(DOWN, state, NOW)).toMatchObject([
      { kind: "put-task", task: { id: "runs", status: { state: TaskState.LOST } } },
      { kind: "delete-task", taskId: "ended" },
      { kind: "delete-range", networkId: "net", nodeId: "n1" },
      { kind: "delete-node", nodeId: "n1" },
    ]);
  });

  test("keeps the completed tasks of a job, which would run again otherwise", () => {
    const done = { state: TaskState.COMPLETE };
    have({ kind: "put-task", task: buildTask({ id: "done", jobIteration: 1, status: done }) });
    expect(nodeRemoval(DOWN, state, NOW)).toEqual([{ kind: "delete-node", nodeId: "n1" }]);
  });

  test("is refused while at-most-one tasks may still run, unless forced", () => {
    const spec = buildSpec({ atMostOne: true });
    have(
      { kind: "put-service", service: buildService({ spec }) },
      { kind: "put-revision", serviceId: "s1", version: 1, spec },
      { kind: "put-task", task: buildTask() },
    );
    expect(() => nodeRemoval(DOWN, state, NOW)).toThrow(/may still run at-most-one tasks: shop_web\.1;/);
    const removed = [{ kind: "put-task" }, { kind: "delete-node" }];
    expect(nodeRemoval(DOWN, state, { ...NOW, force: true })).toMatchObject(removed);
    expect(nodeRemoval({ ...DOWN, fenced: true }, state, NOW)).toMatchObject(removed);
  });
});
