import { type Availability, NodeState, TaskState, UpdateNodeRequest } from "@berth/proto";
import { beforeEach, describe, expect, test } from "vitest";
import { buildNode, buildService, buildSpec, buildTask } from "../core/testing/records.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { nodeRemovalChanges, updateNode } from "./nodes.js";
import { nodeSummary } from "./summaries.js";

const NOW = { nowMs: 5_000, force: false };
const DOWN = buildNode({ id: "n1", state: NodeState.DOWN });

let state: ClusterState;

function put(...changes: readonly Change[]): void {
  state.apply(changes.map((change) => ({ change, revision: 1n })));
}

beforeEach(() => {
  state = new ClusterState();
  put({ kind: "put-node", node: DOWN });
});

test("the summary of a node shows a task that only this node rejected", () => {
  const message = "driver failed programming external connectivity";
  const rejected = { state: TaskState.REJECTED, message, sinceMs: 1_000 };
  put(
    { kind: "put-service", service: buildService() },
    { kind: "put-task", task: buildTask({ id: "t1", nodeId: "n1", status: rejected }) },
  );
  expect(nodeSummary(state, DOWN).problems).toEqual([]);
  const running = { state: TaskState.RUNNING, sinceMs: 2_000, runningSinceMs: 2_000 };
  put({ kind: "put-task", task: buildTask({ id: "t2", nodeId: "n2", status: running }) });
  expect(nodeSummary(state, DOWN).problems).toEqual([expect.stringContaining(message)]);
});

test("updateNode rejects an availability that only a newer release knows", async () => {
  const request = {
    ...UpdateNodeRequest.fromPartial({ node: "n1" }),
    availability: 9 as number as Availability,
  };
  const update = updateNode(request, {} as ApiContext, new AbortController().signal);
  await expect(update).rejects.toThrow("availability 9 is not supported by this server");
});

describe("nodeRemoval", () => {
  test("refuses a node that is up, unless forced", () => {
    const up = { ...DOWN, state: NodeState.READY };
    expect(() => nodeRemovalChanges(up, state, NOW)).toThrow(/^node n1 is up;/);
    expect(nodeRemovalChanges(up, state, { ...NOW, force: true })).toEqual([
      { kind: "delete-node", nodeId: "n1" },
    ]);
  });

  test("marks running tasks as lost, deletes ended tasks, and releases the ranges of networks", () => {
    const range = { networkId: "net", nodeId: "n1", range: "10.64.8.0/25", gateway: "10.64.8.1" };
    const ended = { state: TaskState.FAILED };
    put(
      { kind: "put-task", task: buildTask({ id: "runs" }) },
      { kind: "put-task", task: buildTask({ id: "ended", status: ended }) },
      { kind: "put-range", range },
    );
    expect(nodeRemovalChanges(DOWN, state, NOW)).toMatchObject([
      { kind: "put-task", task: { id: "runs", status: { state: TaskState.LOST } } },
      { kind: "delete-task", taskId: "ended" },
      { kind: "delete-range", networkId: "net", nodeId: "n1" },
      { kind: "delete-node", nodeId: "n1" },
    ]);
  });

  test("keeps the completed tasks of a job, so that they do not run again", () => {
    const done = { state: TaskState.COMPLETE };
    put({ kind: "put-task", task: buildTask({ id: "done", jobIteration: 1, status: done }) });
    expect(nodeRemovalChanges(DOWN, state, NOW)).toEqual([{ kind: "delete-node", nodeId: "n1" }]);
  });

  test("refuses a node that may still run at-most-one tasks, unless forced", () => {
    const spec = buildSpec({ atMostOne: true });
    put(
      { kind: "put-service", service: buildService({ spec }) },
      { kind: "put-revision", serviceId: "s1", version: 1, spec },
      { kind: "put-task", task: buildTask() },
    );
    expect(() => nodeRemovalChanges(DOWN, state, NOW)).toThrow(
      /may still run at-most-one tasks: shop_web\.1;/,
    );
    const removed = [{ kind: "put-task" }, { kind: "delete-node" }];
    expect(nodeRemovalChanges(DOWN, state, { ...NOW, force: true })).toMatchObject(removed);
    expect(nodeRemovalChanges({ ...DOWN, fenced: true }, state, NOW)).toMatchObject(removed);
  });
});
