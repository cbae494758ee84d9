import type { RebalanceMove as MoveMessage, RebalanceRequest, RebalanceResponse } from "@berth/proto";
import type { RebalanceMove } from "../core/scheduler/rebalance.js";
import { planMoves, requestMoves } from "../reconciler/rebalance/rebalancer.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";

/** Plans which tasks should move to balance the load between nodes, and requests the moves unless it is a dry run. */
export async function rebalance(
  { dryRun, maxMoves }: RebalanceRequest,
  { state, writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<RebalanceResponse> {
  const moves = planMoves(state, {
    maxMoves: maxMoves || Number.POSITIVE_INFINITY,
    nowMs: runtime.wallClockMs(),
  });
  if (!dryRun) await requestMoves(moves, writer, signal);
  return { moves: moves.map((move) => toMoveMessage(move, state)) };
}

function toMoveMessage({ task, toNodeId, reason }: RebalanceMove, { nodes }: ClusterState): MoveMessage {
  return {
    task,
    fromNodeId: task.nodeId,
    fromHostname: nodes.get(task.nodeId)?.description?.hostname ?? "",
    toNodeId,
    toHostname: nodes.get(toNodeId)?.description?.hostname ?? "",
    reason,
  };
}
