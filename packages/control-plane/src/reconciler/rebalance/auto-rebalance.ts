import { NodeState } from "@berth/proto";
import type { Logger } from "pino";
import { sleep } from "../../runtime/clock.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { Writer } from "../writer.js";
import { planMoves, requestMoves } from "./rebalancing.js";

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
