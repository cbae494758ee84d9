import { Rollout, Rollout_State as State } from "@berth/proto";

/** Names of failed slots that are kept: enough to look at, few enough for a record that is written often. */
export const MAX_FAILED_SLOTS = 100;

/** Slots are being replaced. */
export const isRolloutActive = (rollout: Rollout | undefined): boolean =>
  rollout?.state === State.UPDATING || rollout?.state === State.ROLLING_BACK;

/** It failed and waits for a person. */
export const isRolloutPaused = (rollout: Rollout | undefined): boolean =>
  rollout?.state === State.PAUSED || rollout?.state === State.ROLLBACK_PAUSED;

/** Whether it goes (or went) back to an earlier version. */
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
 * What a change that replaces no task does to a rollout: one that goes on takes it along, one that is paused tries
 * again, since a constraint or the update policy may be what was wrong. Changing the number of replicas is no try.
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

export function pauseRollout(rollout: Rollout, message: string, now: number): Rollout {
  const state = isRollback(rollout) ? State.ROLLBACK_PAUSED : State.PAUSED;
  return { ...rollout, state, endedAtMs: now, message };
}

export function completeRollout(rollout: Rollout, message: string, now: number): Rollout {
  const state = isRollback(rollout) ? State.ROLLBACK_COMPLETED : State.COMPLETED;
  return { ...rollout, state, endedAtMs: now, progressedAtMs: now, message };
}
