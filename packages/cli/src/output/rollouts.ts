import { type Rollout, Rollout_State } from "@berth/proto";

/** Names of rollout states. Scripts compare them, so they must not change. */
const ROLLOUT_STATES = new Map<Rollout_State, string>([
  [Rollout_State.UPDATING, "updating"],
  [Rollout_State.PAUSED, "paused"],
  [Rollout_State.COMPLETED, "completed"],
  [Rollout_State.ROLLING_BACK, "rolling-back"],
  [Rollout_State.ROLLBACK_PAUSED, "rollback-paused"],
  [Rollout_State.ROLLBACK_COMPLETED, "rolled-back"],
]);

export function rolloutStateName(state: Rollout_State): string {
  return ROLLOUT_STATES.get(state) ?? "unknown";
}

/** Returns `updating 3/6` or `update paused`. Empty for a rollout that has ended. */
export function rolloutText({ state, updatedSlots }: Rollout, desired: number): string {
  switch (state) {
    case Rollout_State.UPDATING:
      return `updating ${updatedSlots}/${desired}`;
    case Rollout_State.ROLLING_BACK:
      return `rolling back ${updatedSlots}/${desired}`;
    case Rollout_State.PAUSED:
      return "update paused";
    case Rollout_State.ROLLBACK_PAUSED:
      return "rollback paused";
    default:
      return "";
  }
}

/** Returns the JSON form of a rollout. */
export function rolloutJson(rollout: Rollout): unknown {
  const { state, updatedSlots, failedCount, ...details } = rollout;
  const { fromVersion, toVersion, startedAtMs, endedAtMs, failedSlots, message } = details;
  return {
    state: rolloutStateName(state),
    fromVersion,
    toVersion,
    startedAtMs,
    endedAtMs,
    done: updatedSlots,
    failed: failedCount,
    failedSlots,
    message,
  };
}
