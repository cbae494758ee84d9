import type { RebalanceMove as MoveMessage, RebalanceRequest, RebalanceResponse } from "@berth/proto";
import { rebalance as movesOf, type RebalanceMove } from "../../core/rebalance.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ControlScope } from "./scope.js";

/** Moves that are written together: a decision has to fit into a transaction. */
const MOVES_PER_WRITE = 50;

/** Says which tasks should move, and asks them to unless it is a dry run. */
export async function rebalance(
  { dryRun, maxMoves }: RebalanceRequest,
  scope: ControlScope,
  signal: AbortSignal,
): Promise<RebalanceResponse> {
  const { state, runtime } = scope;
  const moves = planMoves(state, { maxMoves: maxMoves || Number.POSITIVE_INFINITY, now: runtime.now() });
  if (!dryRun) await askToMove(moves, scope, signal);
  return { moves: moves.map((move) => describeMove(move, state)) };
}

export function planMoves(
  state: ClusterState,
  options: { readonly maxMoves: number; readonly now: number },
): readonly RebalanceMove[] {
  const views = [...state.services.values()].flatMap((service) => {
    const spec = state.services.specOf(service.id, service.version) ?? service.spec;
    const tasks = [...state.tasks.ofService(service.id).values()];
    return spec === undefined ? [] : [{ service, spec, tasks }];
  });
  return movesOf(state.nodes, views, options);
}

/** Their services do the rest. A task that has become another meanwhile is left alone. */
export async function askToMove(
  moves: readonly RebalanceMove[],
  { writer }: Pick<ControlScope, "writer">,
  signal: AbortSignal,
): Promise<void> {
  for (let at = 0; at < moves.length; at += MOVES_PER_WRITE) {
    const some = moves.slice(at, at + MOVES_PER_WRITE);
    await writer.submit((state) => {
      const unchanged = some.filter(({ task }) => state.tasks.get(task.id) === task);
      return {
        changes: unchanged.map(({ task, to }) => ({ kind: "put-task", task: { ...task, moveTo: to } })),
        result: undefined,
      };
    }, signal);
  }
}

function describeMove({ task, to, why }: RebalanceMove, { nodes }: ClusterState): MoveMessage {
  return {
    task,
    fromNodeId: task.nodeId,
    fromHostname: nodes.get(task.nodeId)?.description?.hostname ?? "",
    toNodeId: to,
    toHostname: nodes.get(to)?.description?.hostname ?? "",
    why,
  };
}
