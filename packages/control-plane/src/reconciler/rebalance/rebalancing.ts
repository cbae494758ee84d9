import { type RebalanceMove, rebalance } from "../../core/scheduler/rebalance.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { Writer } from "../writer.js";

/** Moves that are written together: a decision has to fit into a transaction. */
const MOVES_PER_WRITE = 50;

/** The moves that would make the cluster more even as it is now. */
export function planMoves(
  state: ClusterState,
  options: { readonly maxMoves: number; readonly now: number },
): readonly RebalanceMove[] {
  const views = [...state.services.values()].flatMap((service) => {
    const spec = state.services.specOf(service.id, service.version) ?? service.spec;
    const tasks = [...state.tasks.ofService(service.id).values()];
    return spec === undefined ? [] : [{ service, spec, tasks }];
  });
  return rebalance(state.nodes, views, options);
}

/** Asks the tasks to move; their services do the rest. One that has become another meanwhile is left alone. */
export async function requestMoves(
  moves: readonly RebalanceMove[],
  writer: Writer,
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
