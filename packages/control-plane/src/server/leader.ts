import { isBerthError } from "@berth/proto";
import type { SchemaControl } from "../api/servers/finalize-upgrade.js";
import { SCHEMA } from "../core/schema/migrations.js";
import { onAbort } from "../runtime/abort.js";
import { notLeaderError } from "../runtime/leader-errors.js";
import type { Runtime } from "../runtime/runtime.js";
import { steadyTime } from "../runtime/steady-time.js";
import type { ClusterState } from "../state/cluster-state.js";
import { correctFutureTimes } from "../state/correct-times.js";
import { latestRecordedMs } from "../state/latest-time.js";
import { StateSync } from "../state/state-sync.js";
import { fence, type Term } from "../store/election.js";
import { completeMigration } from "../store/migrate.js";
import { raiseSchema, readSchema } from "../store/schema.js";
import { createLeader, type Loop } from "./create-leader.js";
import type { LeaderOptions } from "./leader-options.js";

/** Time for the response to the call that has raised the schema. */
const RAISE_GRACE_MS = 100;

export interface RunTermOptions extends LeaderOptions {
  /** The copy of the records that this server has kept as a follower. No other term uses it. */
  readonly standbySync: StateSync;
}

/**
 * Runs one term as the leader: waits until its copy of the records is complete, serves calls, and reconciles until the term is lost or `signal` is
 * aborted. When it returns, everything that it started has stopped.
 *
 * @throws the error of the first part that failed; its failure ends the term
 */
export async function runTerm(
  term: Term,
  { standbySync, ...options }: RunTermOptions,
  signal: AbortSignal,
): Promise<void> {
  const { store, logger } = options;
  const ended = new AbortController();
  const end = (cause: unknown): void => {
    ended.abort(isBerthError(cause) ? cause : notLeaderError({ reason: "its term ended", cause }));
  };
  const removeListeners = [term.lost, signal].map((parent) => onAbort(parent, () => end(parent.reason)));
  try {
    const opened = await openSchema(term, options, end, ended.signal);
    if (opened === undefined) return;
    const { schemaControl, hasMigrated } = opened;
    const { clock } = options.runtime;
    // A migration has written most records, so loading them again is simpler than waiting for its last event.
    const sync = hasMigrated ? StateSync.start({ store, clock, logger }, ended.signal) : standbySync;
    // The leader key is one of the synchronized keys, and all writes of earlier leaders are older.
    if (!(await sync.untilApplied(term.epoch, ended.signal))) return;
    const { state } = sync;
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
    const { leader, loops } = createLeader({ ...options, runtime, term, sync, schemaControl }, ended.signal);
    options.onLeaderChange(leader);
    await runLoops(loops, end, ended.signal);
  } finally {
    end("the leader stopped");
    for (const removeListener of removeListeners) removeListener();
    options.onLeaderChange(undefined);
  }
}

interface OpenedSchema {
  readonly schemaControl: SchemaControl;
  /** Whether this term has migrated records. */
  readonly hasMigrated: boolean;
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
): Promise<OpenedSchema | undefined> {
  const { versions } = schema;
  try {
    const { version, hasMigrated } = await completeMigration(
      { store, fence: fence(term), schema, clock, logger },
      signal,
    );
    const schemaControl: SchemaControl = {
      current: version,
      versions,
      servers: options.registrations,
      countMembers: async (abort) => (await options.etcdMembers?.list(abort))?.length,
      raiseVersion: async (to, abort) => {
        const stored = await readSchema(store, versions, abort);
        await raiseSchema({ store, fence: fence(term), to }, stored, abort);
        logger.info({ from: version, to }, "raised the schema; the next leader migrates the records");
        clock.after(RAISE_GRACE_MS, () => end(notLeaderError({ reason: "the schema was raised" })));
      },
    };
    return { schemaControl, hasMigrated };
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
