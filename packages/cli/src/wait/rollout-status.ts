import { type Rollout, Rollout_State } from "@berth/proto";
import { oneLine } from "../output/table.js";
import type { ServiceProgress } from "./progress.js";

/** How the change that somebody waits for goes, as far as the server says it. */
export type RolloutStatus =
  /** There is none, or it is through. */
  | { readonly kind: "none" }
  | { readonly kind: "updating"; readonly done: number }
  /** The change failed, and what runs is made what it was. */
  | { readonly kind: "rolling-back"; readonly why: string }
  /** It goes no further until somebody does something. */
  | { readonly kind: "paused"; readonly why: string }
  /** The change failed and is undone. */
  | { readonly kind: "rolled-back"; readonly why: string };

const NONE: RolloutStatus = { kind: "none" };

/** A rollout of a version before the one that is waited for is over and done with. */
export function rolloutStatus({ watched, version }: ServiceProgress): RolloutStatus {
  const rollout = watched?.summary?.service?.rollout;
  if (rollout === undefined || watched?.removed) return NONE;
  const { updatedSlots: done } = rollout;
  const why = oneLine(rollout.message);
  switch (roleOf(rollout, version)) {
    case "wanted":
      if (isUnderWay(rollout)) return { kind: "updating", done };
      return isPaused(rollout) ? { kind: "paused", why: why || "the update failed" } : NONE;
    case "undoing":
      if (isUnderWay(rollout)) return { kind: "rolling-back", why };
      return isPaused(rollout)
        ? { kind: "paused", why: why || "the update failed, and its rollback too" }
        : { kind: "rolled-back", why };
    case "former":
      return NONE;
  }
}

/** Whether the server goes on by itself: it decides then when enough has failed, and not we. */
export function isRollingOut(service: ServiceProgress): boolean {
  const { kind } = rolloutStatus(service);
  return kind === "updating" || kind === "rolling-back";
}

/** Whether the change has ended otherwise than it was meant to. */
export function hasRolloutFailed(service: ServiceProgress): boolean {
  const { kind } = rolloutStatus(service);
  return kind === "paused" || kind === "rolled-back";
}

/** What a rollout is to somebody who waits for a version: a rollback that begins at it, or after it, undoes it. */
function roleOf(rollout: Rollout, awaited = 0): "wanted" | "undoing" | "former" {
  if (isRollback(rollout) && rollout.fromVersion >= awaited) return "undoing";
  return rollout.toVersion >= awaited ? "wanted" : "former";
}

function isRollback({ state }: Rollout): boolean {
  return state >= Rollout_State.ROLLING_BACK;
}

function isUnderWay({ state }: Rollout): boolean {
  return state === Rollout_State.UPDATING || state === Rollout_State.ROLLING_BACK;
}

function isPaused({ state }: Rollout): boolean {
  return state === Rollout_State.PAUSED || state === Rollout_State.ROLLBACK_PAUSED;
}
