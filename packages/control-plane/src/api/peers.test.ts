import { NodeState, TaskState } from "@berth/proto";
import { expect, it } from "vitest";
import { buildNode, buildService, buildTask } from "../core/testing/records.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { listPeers } from "./peers.js";

it("lists the other nodes, and the problems of the calling node only", () => {
  const nodes = ["n1", "n2", "n3"].map((id) => buildNode({ id, state: NodeState.READY }));
  const rejected = { state: TaskState.REJECTED, message: "driver failed", sinceMs: 1_000 };
  const running = { state: TaskState.RUNNING, sinceMs: 2_000, runningSinceMs: 2_000 };
  const changes: readonly Change[] = [
    ...nodes.map((node) => ({ kind: "put-node", node }) as const),
    { kind: "put-service", service: buildService() },
    { kind: "put-task", task: buildTask({ id: "t1", nodeId: "n1", status: rejected }) },
    { kind: "put-task", task: buildTask({ id: "t2", nodeId: "n2", status: running }) },
  ];
  const state = new ClusterState();
  state.apply(changes.map((change) => ({ change, revision: 1n })));
  const peersOf = (id: string) => listPeers({ state } as unknown as ApiContext, { kind: "node", id });
  const hosts = nodes.map(({ description, state: nodeState }) => ({
    hostname: description?.hostname ?? "",
    address: description?.address ?? "",
    state: nodeState,
    imagePort: description?.imagePort ?? 0,
  }));
  expect(peersOf("n1").peers).toEqual(hosts.slice(1));
  expect(peersOf("n1").nodeProblems).toEqual([expect.stringContaining("driver failed")]);
  expect(peersOf("n2").nodeProblems).toEqual([]);
});
