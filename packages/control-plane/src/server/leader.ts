import { isBerthError } from "@berth/proto";
import type { SchemaControl } from "../api/servers/finalize-upgrade.js";
import { SCHEMA } from "../core/schema/migrations.js";
import { onAbort } from "../runtime/abort.js";
import { notLeaderError } from "../runtime/leader-errors.js";
import type { Runtime } from "../runtime/runtime.js";
import { steadyTime } from "../runtime/steady-time.js";
import { ClusterState } from "../state/cluster-state.js";
import { correctFutureTimes } from "../state/correct-times.js";
import { latestRecordedMs } from "../state/latest-time.js";
import { StateSync } from "../state/state-sync.js";
import { fence, type Term } from "../store/election.js";
import { completeMigration } from "../store/migrate.js";
import { raiseSchema, readSchema } from "../store/schema.js";
import { createLeader } from "./create-leader.js";
import type { LeaderOptions } from "./leader-options.js";
import type { Loop } from "./run-until-stopped.js";

/** Time for the response to the call that has raised the schema. */
const RAISE_GRACE_MS = 100;

/**
 * Runs one term as the leader: loads all records, serves calls, and reconciles until the term is lost or `signal` is
 * aborted. When it returns, everything that it started has stopped.
 *
 * @throws the error of the first part that failed; its failure ends the term
 */
export async function runTerm(term: Term, options: LeaderOptions, signal: AbortSignal): Promise<void> {
  const { store, logger } = options;
  const ended = new AbortController();
  const end = (cause: unknown): void => {
    ended.abort(isBerthError(cause) ? cause : notLeaderError({ reason: "its term ended", cause }));
  };
  const removeListeners = [term.lost, signal].map((parent) => onAbort(parent, () => end(parent.reason)));
  try {
    const schemaControl = await openSchema(term, options, end, ended.signal);
    if (schemaControl === undefined) return;
    const state = new ClusterState((error) => logger.error({ err: error }, "state listener failed"));
    const sync = new StateSync({ store, clock: options.runtime.clock, state, logger }, ended.signal);
    if (!(await sync.load())) return;
    logger.info(
      { services: state.services.size, tasks: state.tasks.size, nodes: state.nodes.size },
      "loaded all records",
    );
    const onStep = (stepMs: number): void => {
      const reason = describeStep(stepMs);
      logger.warn(reason);
      end(notLeaderError({ reason }));
    };
    const runtime = termRuntime(options.runtime, state, onStep);
    const corrected = correctFutureTimes(state, runtime.wallClockMs());
    if (corrected > 0) {
      logger.warn(
        { records: corrected },
        "times in the future were written with a wrong clock; using the current time",
      );
    }
    const { leader, loops } = createLeader(
      { ...options, runtime, term, state, sync, schemaControl },
      ended.signal,
    );
    options.onLeaderChange(leader);
    await runLoops(loops, end, ended.signal);
  } finally {
    end("the leader stopped");
    for (const removeListener of removeListeners) removeListener();
    options.onLeaderChange(undefined);
  }
}

/**
 * Completes a pending migration. Returns undefined if the term ends first.
 *
 * @throws BerthError BERTH_SCHEMA_UNSUPPORTED
 */
async function openSchema(
  term: Term,
  { store, runtime: { clock }, logger, schema = SCHEMA, ...options }: LeaderOptions,
  end: (cause: unknown) => void,
  signal: AbortSignal,
): Promise<SchemaControl | undefined> {
  const { versions } = schema;
  try {
    const current = await completeMigration({ store, fence: fence(term), schema, clock, logger }, signal);
    return {
      current,
      versions,
      servers: options.registrations,
      countMembers: async (abort) => (await options.etcdMembers?.list(abort))?.length,
      raiseVersion: async (to, abort) => {
        const stored = await readSchema(store, versions, abort);
        await raiseSchema({ store, fence: fence(term), to }, stored, abort);
        logger.info({ from: current, to }, "raised the schema; the next leader migrates the records");
        clock.after(RAISE_GRACE_MS, () => end(notLeaderError({ reason: "the schema was raised" })));
      },
    };
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/** Returns the runtime of one term. Its wall clock never returns a time before the latest record. */
function termRuntime(runtime: Runtime, state: ClusterState, onStep: (stepMs: number) => void): Runtime {
  return {
    clock: runtime.clock,
    wallClockMs: steadyTime(runtime, latestRecordedMs(state), onStep),
    random: () => runtime.random(),
    newId: () => runtime.newId(),
  };
}

function describeStep(stepMs: number): string {
  const minutes = Math.round(Math.abs(stepMs) / 60_000);
  return `the clock of its host was set ${stepMs > 0 ? "forward" : "back"} by ${minutes} min; the next term uses the new time`;
}

/**
 * Runs all loops until they return. A loop that fails ends the term, which stops the others.
 *
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
  for (const result of results) {
    if (result.status === "rejected") throw result.reason;
  }
}
