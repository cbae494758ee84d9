import { expect, it } from "vitest";
import { buildTask } from "../../core/testing/records.js";
import type { Change } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import type { Writer } from "../writer.js";
import { requestMoves } from "./rebalancer.js";

it("writes the preferred node of each task that moves, and skips tasks that changed meanwhile", async () => {
  const [unchanged, changed] = [buildTask({ id: "t1" }), buildTask({ id: "t2", slot: 2 })];
  const state = new ClusterState();
  for (const task of [unchanged, { ...changed }]) {
    state.apply([{ change: { kind: "put-task", task }, revision: 1n }]);
  }
  const written: Change[] = [];
  const submit: Writer["submit"] = async (decide) => {
    const { changes, result } = decide(state);
    written.push(...changes);
    return result;
  };

  const moves = [unchanged, changed].map((task) => ({ task, toNodeId: "n2", reason: "" }));
  await requestMoves(moves, { submit }, new AbortController().signal);
  expect(written).toEqual([{ kind: "put-task", task: { ...unchanged, preferredNodeId: "n2" } }]);
});
