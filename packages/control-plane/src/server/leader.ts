import { isBerthError } from "@berth/proto";
import { onAbort } from "../runtime/abort.js";
import { notLeader } from "../runtime/leader-errors.js";
import type { Runtime } from "../runtime/runtime.js";
import { steadyTime } from "../runtime/steady-time.js";
import { ClusterState } from "../state/cluster-state.js";
import { latestRecordedMs } from "../state/latest-time.js";
import { StateSync } from "../state/state-sync.js";
import type { Term } from "../store/election.js";
import { createLeader, type Loop } from "./create-leader.js";
import type { LeaderOptions } from "./leader-options.js";

/**
 * Runs one term as the leader: loads all records, serves calls, and reconciles until the term is lost or `signal`
 * aborts. When it returns, everything that it started has stopped.
 * @throws the error of the first part that failed; its failure ends the term
 */
export async function runTerm(term: Term, options: LeaderOptions, signal: AbortSignal): Promise<void> {
  const { store, logger } = options;
  const ended = new AbortController();
  const end = (cause: unknown): void => {
    ended.abort(isBerthError(cause) ? cause : notLeader({ reason: "its term ended", cause }));
  };
  const removeListeners = [term.lost, signal].map((parent) => onAbort(parent, () => end(parent.reason)));
  try {
    const state = new ClusterState((error) => logger.error({ err: error }, "state listener failed"));
    const sync = new StateSync({ store, clock: options.runtime.clock, state, logger }, ended.signal);
    if (!(await sync.load())) return;
    logger.info(
      { services: state.services.size, tasks: state.tasks.size, nodes: state.nodes.size },
      "loaded all records",
    );
    const runtime = termRuntime(options.runtime, state);
    const { leader, loops } = createLeader({ ...options, runtime, term, state, sync }, ended.signal);
    options.onLeaderChange(leader);
    await runLoops(loops, end, ended.signal);
  } finally {
    end("the leader stopped");
    for (const removeListener of removeListeners) removeListener();
    options.onLeaderChange(undefined);
  }
}

/** Returns the runtime of one term. Its wall clock never returns a time before the latest record. */
function termRuntime(runtime: Runtime, state: ClusterState): Runtime {
  return {
    clock: runtime.clock,
    wallClockMs: steadyTime(runtime, latestRecordedMs(state)),
    random: () => runtime.random(),
    newId: () => runtime.newId(),
  };
}

/**
 * Runs all loops until they return. A loop that fails ends the term, which stops the others.
 * @throws the error of the first loop in the list that failed
 */
async function runLoops(
  loops: readonly Loop[],
  end: (cause: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  const results = await Promise.allSettled(
    loops.map(async (loop) => {
      try {
        await loop(signal);
      } catch (error) {
        // Errors after the end of the term are its consequence.
        if (signal.aborted) return;
        end(error);
        throw error;
      }
    }),
  );
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
