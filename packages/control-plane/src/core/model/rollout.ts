import { Rollout, Rollout_State as State } from "@berth/proto";

/** Failed slots that a record names. The count is exact; the names are limited because the record is written often. */
export const MAX_FAILED_SLOTS = 100;

/** Whether slots are being replaced. */
export const isRolloutActive = (rollout: Rollout | undefined): boolean =>
  rollout?.state === State.UPDATING || rollout?.state === State.ROLLING_BACK;

/** Whether the rollout failed and waits for the service to be changed. */
export const isRolloutPaused = (rollout: Rollout | undefined): boolean =>
  rollout?.state === State.PAUSED || rollout?.state === State.ROLLBACK_PAUSED;

/** Whether the rollout returns (or returned) to an earlier version. */
export const isRollback = (rollout: Rollout | undefined): boolean =>
  rollout !== undefined && rollout.state >= State.ROLLING_BACK;

export interface RolloutStart {
  readonly state: typeof State.UPDATING | typeof State.ROLLING_BACK;
  readonly fromVersion: number;
  readonly toVersion: number;
  readonly now: number;
  readonly message?: string;
}

export function beginRollout({ state, fromVersion, toVersion, now, message = "" }: RolloutStart): Rollout {
  return Rollout.fromPartial({
    state,
    fromVersion,
    toVersion,
    startedAtMs: now,
    progressedAtMs: now,
    message,
  });
}

/**
 * Applies a change that replaces no task to a rollout. An active rollout continues to the new version. A paused one
 * starts again, because a constraint or the update policy may have been the cause; a change of the replicas alone
 * does not start it.
 */
export function continueRollout(
  rollout: Rollout | undefined,
  {
    version,
    changed,
    now,
  }: { readonly version: number; readonly changed: readonly string[]; readonly now: number },
): Rollout | undefined {
  if (rollout === undefined) return undefined;
  if (isRolloutActive(rollout)) return { ...rollout, toVersion: version, progressedAtMs: now };
  if (!isRolloutPaused(rollout)) return rollout;
  if (changed.every((part) => part === "replicated")) return { ...rollout, toVersion: version };
  const state = rollout.state === State.PAUSED ? State.UPDATING : State.ROLLING_BACK;
  return beginRollout({ state, fromVersion: version - 1, toVersion: version, now });
}

/** Pauses a failed rollout. `failure` says what failed and why. */
export function pauseRollout(rollout: Rollout, failure: string, now: number): Rollout {
  const state = isRollback(rollout) ? State.ROLLBACK_PAUSED : State.PAUSED;
  const message = `${failure}: it is paused until the service is changed`;
  return { ...rollout, state, endedAtMs: now, message };
}

export function completeRollout(rollout: Rollout, message: string, now: number): Rollout {
  const state = isRollback(rollout) ? State.ROLLBACK_COMPLETED : State.COMPLETED;
  return { ...rollout, state, endedAtMs: now, progressedAtMs: now, message };
}
