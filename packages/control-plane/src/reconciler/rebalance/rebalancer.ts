import { NodeState } from "@berth/proto";
import type { Logger } from "pino";
import { type RebalanceMove, rebalance } from "../../core/rebalance/rebalance.js";
import { sleep } from "../../runtime/clock.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { serviceSnapshot } from "../../state/service-snapshot.js";
import type { Writer } from "../writer.js";

/** Moves that are written together: a decision has to fit into a transaction. */
const MOVES_PER_WRITE = 50;

/** The moves that would make the cluster more even as it is now. */
export function planMoves(
  state: ClusterState,
  options: { readonly maxMoves: number; readonly now: number },
): readonly RebalanceMove[] {
  const snapshots = [...state.services.values()].flatMap(({ id }) => serviceSnapshot(state, id) ?? []);
  return rebalance(state.nodes, snapshots, options);
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

/** Nodes come back rarely, and stay for minutes before they are filled: there is no hurry. */
const LONGEST_PAUSE_MS = 30_000;

export interface AutoRebalanceOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** How long the node that came last must have been up. */
  readonly afterMs: number;
}

/** Evens out the cluster, once for each node that came or came back, when it has been up for long enough. */
export async function autoRebalance(options: AutoRebalanceOptions, signal: AbortSignal): Promise<void> {
  const { state, writer, runtime, logger, afterMs } = options;
  let handledMs = 0;
  while (!signal.aborted) {
    await sleep(runtime.clock, Math.min(afterMs, LONGEST_PAUSE_MS), signal);
    const now = runtime.now();
    const newestMs = newestArrival(state);
    if (signal.aborted || newestMs === handledMs || newestMs + afterMs > now) continue;
    try {
      const moves = planMoves(state, { maxMoves: Number.POSITIVE_INFINITY, now });
      await requestMoves(moves, writer, signal);
      handledMs = newestMs;
      if (moves.length > 0) logger.info({ moves: moves.length }, "rebalancing onto a node that came back");
    } catch (error) {
      if (!signal.aborted) logger.warn({ err: error }, "the cluster could not be rebalanced");
    }
  }
}

/** When the last of the nodes that are up came up; 0 without any. */
function newestArrival({ nodes }: ClusterState): number {
  let newestMs = 0;
  for (const { state, stateSinceMs } of nodes.values()) {
    if (state === NodeState.READY) newestMs = Math.max(newestMs, stateSinceMs);
  }
  return newestMs;
}
