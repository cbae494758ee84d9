import { Rollout, Rollout_State as State } from "@berth/proto";

// Transitions of a service's rollout record. The leader stores the record with the service.

/**
 * Maximum number of failed slots that a record names. The count is exact; names are limited because the record is
 * written often.
 */
export const MAX_FAILED_SLOTS = 100;

/** Returns whether the rollout is replacing slots. */
export function isRolloutActive(rollout: Rollout | undefined): boolean {
  return rollout?.state === State.UPDATING || rollout?.state === State.ROLLING_BACK;
}

/** Returns whether the rollout has failed and waits for a change of the service. */
export function isRolloutPaused(rollout: Rollout | undefined): boolean {
  return rollout?.state === State.PAUSED || rollout?.state === State.ROLLBACK_PAUSED;
}

/** Returns whether the rollout returns, or has returned, to an earlier version. */
export function isRollback(rollout: Rollout | undefined): boolean {
  return rollout !== undefined && rollout.state >= State.ROLLING_BACK;
}

/** The initial values of a rollout record. */
export interface RolloutStart {
  readonly state: typeof State.UPDATING | typeof State.ROLLING_BACK;
  readonly fromVersion: number;
  readonly toVersion: number;
  readonly nowMs: number;
  readonly message?: string;
}

/** Returns the record of a new rollout. */
export function beginRollout({ state, fromVersion, toVersion, nowMs, message = "" }: RolloutStart): Rollout {
  return Rollout.fromPartial({
    state,
    fromVersion,
    toVersion,
    startedAtMs: nowMs,
    progressedAtMs: nowMs,
    message,
  });
}

/**
 * Updates a rollout after a change of the spec that replaces no task.
 *
 * An active rollout continues to the new version. A paused rollout starts again, because the changed constraint or
 * update policy may have been the cause of its failure. A change of only the number of replicas does not start it.
 */
export function continueRollout(
  rollout: Rollout | undefined,
  { version, changed, nowMs }: SpecChange,
): Rollout | undefined {
  if (rollout === undefined) return undefined;
  if (isRolloutActive(rollout)) return { ...rollout, toVersion: version, progressedAtMs: nowMs };
  if (!isRolloutPaused(rollout)) return rollout;
  if (changed.every((field) => field === "replicated")) return { ...rollout, toVersion: version };
  const state = rollout.state === State.PAUSED ? State.UPDATING : State.ROLLING_BACK;
  return beginRollout({ state, fromVersion: version - 1, toVersion: version, nowMs });
}

/** A change of a service's spec. */
export interface SpecChange {
  /** The new version of the service. */
  readonly version: number;
  /** Top-level fields of the spec that differ, by their JSON names. */
  readonly changed: readonly string[];
  readonly nowMs: number;
}

/** Pauses a failed rollout. `failure` says what failed and why. */
export function pauseRollout(rollout: Rollout, failure: string, nowMs: number): Rollout {
  const state = isRollback(rollout) ? State.ROLLBACK_PAUSED : State.PAUSED;
  const message = `${failure}: it is paused until the service is changed`;
  return { ...rollout, state, endedAtMs: nowMs, message };
}

/** Ends a rollout in which every slot was updated or failed. `message` is shown to users. */
export function completeRollout(rollout: Rollout, message: string, nowMs: number): Rollout {
  const state = isRollback(rollout) ? State.ROLLBACK_COMPLETED : State.COMPLETED;
  return { ...rollout, state, endedAtMs: nowMs, progressedAtMs: nowMs, message };
}
