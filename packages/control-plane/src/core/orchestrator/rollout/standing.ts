import { assertNever, DesiredState, type Task, TaskState } from "@berth/proto";
import type { Slot } from "../../model/slots.js";
import { isReady, provenAtMs, stateOf } from "../../model/task-state.js";
import { slotName } from "../problems.js";
import { lastWords, type SlotDecision } from "../slot-state.js";
import type { UpdatePolicy } from "../update-policy.js";

/** How far a slot is on its way to run well what it should. */
export type Standing =
  /** It never held anything, so nothing was taken from it: no update waits for it. */
  | { readonly kind: "unborn" }
  /** It still runs what is to be replaced. */
  | { readonly kind: "untouched" }
  /** Something is being done about it. */
  | { readonly kind: "underway" }
  /** It runs well, and counts from that time on unless it ends before. */
  | { readonly kind: "watched"; readonly atMs: number }
  /** It runs well since then, or completed. */
  | { readonly kind: "good"; readonly sinceMs: number };

const UNDERWAY: Standing = { kind: "underway" };

export function standingOf(
  { slot, step }: SlotDecision,
  { monitorMs, now }: { readonly monitorMs: number; readonly now: number },
): Standing {
  switch (step.kind) {
    case "settled":
      return step.task === undefined ? { kind: "good", sinceMs: 0 } : watching(step.task, monitorMs, now);
    case "proving":
      return { kind: "watched", atMs: step.atMs };
    case "unready":
    case "wait":
    case "given-up":
      return UNDERWAY;
    case "pending":
    case "fill":
      return hasHistory(slot) ? UNDERWAY : { kind: "unborn" };
    case "replace":
      if (step.trial.kind !== "none") return UNDERWAY;
      if (step.because === "outdated") return { kind: "untouched" };
      return slot.active.some(isReady) ? { kind: "good", sinceMs: 0 } : UNDERWAY;
    default:
      return assertNever(step);
  }
}

function watching(task: Task, monitorMs: number, now: number): Standing {
  const atMs = provenAtMs(task, monitorMs);
  return atMs > now ? { kind: "watched", atMs } : { kind: "good", sinceMs: atMs };
}

const hasHistory = (slot: Slot): boolean => slot.ended.length + slot.active.length + slot.stopping.length > 0;

/** The newest end that speaks against a new task: it ended by itself before it ran, or soon after it began to. */
export function failureOf(
  slot: Slot,
  { sinceVersion, policy }: { readonly sinceVersion: number; readonly policy: UpdatePolicy },
): Task | undefined {
  return slot.ended.find((task) => task.specVersion >= sinceVersion && endedTooSoon(task, policy));
}

/** What we stopped and what died with its node says nothing about the new version. */
function endedTooSoon(task: Task, { monitorMs, mayComplete }: UpdatePolicy): boolean {
  const state = stateOf(task);
  if (task.desiredState >= DesiredState.SHUTDOWN || state === TaskState.LOST) return false;
  if (state === TaskState.COMPLETE && mayComplete) return false;
  const { runningSinceMs, sinceMs = 0 } = task.status ?? {};
  return runningSinceMs === undefined || sinceMs - runningSinceMs < monitorMs;
}

/** What a slot waits for, for a person. */
export function underwayReason({ slot, step }: SlotDecision): string {
  const name = slotName(slot);
  switch (step.kind) {
    case "pending":
      return `${name} has no node yet${parenthesis(step.task.status?.message)}`;
    case "unready":
      return `${name} does not run yet${parenthesis(step.task.status?.message)}`;
    case "wait":
    case "given-up":
      return `${name} does not run${parenthesis(step.why)}`;
    case "replace":
      return `${name} runs no new task yet${parenthesis(step.trial.kind === "held" ? step.trial.why : "")}`;
    case "settled":
    case "proving":
      return `${name} is watched`;
    default:
      return `${name} is being filled${parenthesis(slot.ended.length > 0 ? lastWords(slot) : "")}`;
  }
}

const parenthesis = (text: string | undefined): string => (text ? ` (${text})` : "");
