import { type Rollout, Rollout_State } from "@berth/proto";
import { oneLine } from "../output/table.js";
import type { ServiceProgress } from "./progress.js";

/** The rollout of the version that a command waits for. */
export type RolloutStatus =
  /** There is no rollout, it has completed, or a removal ends it. */
  | { readonly kind: "none" }
  | { readonly kind: "updating"; readonly updatedSlots: number }
  /** The update failed and is being rolled back. */
  | { readonly kind: "rolling-back"; readonly reason: string }
  /** The update failed and is paused until the user acts. */
  | { readonly kind: "paused"; readonly reason: string }
  /** The update failed and was rolled back. */
  | { readonly kind: "rolled-back"; readonly reason: string };

const NO_ROLLOUT: RolloutStatus = { kind: "none" };

export function rolloutStatus({ watched, version }: ServiceProgress): RolloutStatus {
  const rollout = watched?.summary?.service?.rollout;
  if (rollout === undefined || version === undefined || watched?.removed) return NO_ROLLOUT;
  const { updatedSlots } = rollout;
  const reason = oneLine(rollout.message);
  switch (classifyRollout(rollout, version)) {
    case "awaited":
      if (isInProgress(rollout)) return { kind: "updating", updatedSlots };
      return isPaused(rollout) ? { kind: "paused", reason: reason || "the update failed" } : NO_ROLLOUT;
    case "rollback":
      if (isInProgress(rollout)) return { kind: "rolling-back", reason };
      return isPaused(rollout)
        ? { kind: "paused", reason: reason || "the update and its rollback failed" }
        : { kind: "rolled-back", reason };
    case "earlier":
      return NO_ROLLOUT;
  }
}

/** Returns whether a rollout is in progress. The server then decides when it has failed, not the wait. */
export function isRollingOut(service: ServiceProgress): boolean {
  const { kind } = rolloutStatus(service);
  return kind === "updating" || kind === "rolling-back";
}

export function hasRolloutFailed(service: ServiceProgress): boolean {
  const { kind } = rolloutStatus(service);
  return kind === "paused" || kind === "rolled-back";
}

/** Relates a rollout to the awaited version. A rollback from that version, or from a later one, undoes it. */
function classifyRollout(rollout: Rollout, awaitedVersion: number): "awaited" | "rollback" | "earlier" {
  if (isRollback(rollout) && rollout.fromVersion >= awaitedVersion) return "rollback";
  return rollout.toVersion >= awaitedVersion ? "awaited" : "earlier";
}

function isRollback({ state }: Rollout): boolean {
  return state >= Rollout_State.ROLLING_BACK;
}

function isInProgress({ state }: Rollout): boolean {
  return state === Rollout_State.UPDATING || state === Rollout_State.ROLLING_BACK;
}

function isPaused({ state }: Rollout): boolean {
  return state === Rollout_State.PAUSED || state === Rollout_State.ROLLBACK_PAUSED;
}
