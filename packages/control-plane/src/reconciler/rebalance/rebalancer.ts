import { NodeState, type Task } from "@berth/proto";
import type { Logger } from "pino";
import { type RebalanceMove, rebalance } from "../../core/scheduler/rebalance.js";
import { sleep } from "../../runtime/clock.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { serviceSnapshot } from "../../state/service-snapshot.js";
import type { Writer } from "../writer.js";

/** Maximum number of moves per write, since a write has to fit into one etcd transaction. */
const MOVES_PER_WRITE = 50;

/** Longest interval between two checks for returned nodes, which are rare and not urgent. */
const MAX_CHECK_INTERVAL_MS = 30_000;

/** Returns the moves that would balance the cluster in its current state. */
export function planMoves(
  state: ClusterState,
  options: { readonly maxMoves: number; readonly nowMs: number },
): readonly RebalanceMove[] {
  const services = [...state.services.values()].flatMap(({ id }) => serviceSnapshot(state, id) ?? []);
  return rebalance(state.nodes, services, options);
}

/** Marks tasks with their preferred nodes. The controller then replaces them. Skips tasks that have changed meanwhile. */
export async function requestMoves(
  moves: readonly RebalanceMove[],
  writer: Pick<Writer, "submit">,
  signal: AbortSignal,
): Promise<void> {
  for (let start = 0; start < moves.length; start += MOVES_PER_WRITE) {
    const batch = moves.slice(start, start + MOVES_PER_WRITE);
    await writer.submit((state) => {
      const unchanged = batch.filter(({ task }) => state.tasks.get(task.id) === task);
      const changes = unchanged.map(({ task, toNodeId }) => {
        const moving: Task = { ...task, preferredNodeId: toNodeId };
        return { kind: "put-task" as const, task: moving };
      });
      return { changes, result: undefined };
    }, signal);
  }
}

export interface AutoRebalanceOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Time for which a new or returned node must have been up before tasks move to it. */
  readonly afterMs: number;
}

/** Balances the cluster once for each node that joined or returned, until `signal` is aborted. */
export async function autoRebalance(options: AutoRebalanceOptions, signal: AbortSignal): Promise<void> {
  const { state, writer, runtime, logger, afterMs } = options;
  let balancedMs = 0;
  while (!signal.aborted) {
    await sleep(runtime.clock, Math.min(afterMs, MAX_CHECK_INTERVAL_MS), signal);
    const nowMs = runtime.wallClockMs();
    const latestMs = latestReadyMs(state);
    if (signal.aborted || latestMs === balancedMs || latestMs + afterMs > nowMs) continue;
    try {
      const moves = planMoves(state, { maxMoves: Number.POSITIVE_INFINITY, nowMs });
      await requestMoves(moves, writer, signal);
      balancedMs = latestMs;
      if (moves.length > 0) logger.info({ moves: moves.length }, "moving tasks to a returned node");
    } catch (error) {
      if (!signal.aborted) logger.warn({ err: error }, "failed to rebalance");
    }
  }
}

/** Returns when the latest node became ready, in ms since the epoch. Returns 0 when no node is ready. */
function latestReadyMs({ nodes }: ClusterState): number {
  let latestMs = 0;
  for (const { state, stateSinceMs } of nodes.values()) {
    if (state === NodeState.READY) latestMs = Math.max(latestMs, stateSinceMs);
  }
  return latestMs;
}
