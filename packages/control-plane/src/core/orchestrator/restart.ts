import {
  DesiredState,
  type RestartPolicy,
  RestartPolicy_Condition,
  type Task,
  TaskState,
} from "@berth/proto";
import { stateOf } from "../model/task-state.js";
import type { CurrentTest } from "../model/template.js";

/** A task that ran this long proves that its slot works: failures before it are forgiven. */
export const RUNS_WELL_MS = 60_000;
/** No slot is given up by backing off alone: a repaired cause is noticed within about a minute. */
export const MAX_BACKOFF_MS = 60_000;
/** Delay of the second restart when the policy names none; the first is immediate. */
const FIRST_BACKOFF_MS = 1_000;
/** Spreads the restarts of slots that failed together. Below a third, so that a later delay is never the shorter one. */
const JITTER = 0.25;

export type RestartDecision =
  | { readonly kind: "now"; readonly restarts: number }
  | { readonly kind: "at"; readonly atMs: number; readonly restarts: number }
  /** It did what it was to do; nothing is to run in the slot any more. */
  | { readonly kind: "completed" }
  | { readonly kind: "given-up"; readonly why: string };

/**
 * Whether and when an empty slot gets its next task.
 *
 * Only a task that ended by itself is restarted by the policy. One that we stopped, or that died with its node, is
 * replaced at once, and so is any task of another version: a new version starts with a clean record.
 */
export function decideRestart(slot: {
  /** Ended tasks of the slot, newest first. */
  readonly ended: readonly Task[];
  readonly policy: RestartPolicy | undefined;
  /** Whether a task runs what the service now asks for. */
  readonly isCurrent: CurrentTest;
  readonly now: number;
}): RestartDecision {
  const last = slot.ended[0];
  if (last === undefined || !slot.isCurrent(last)) return { kind: "now", restarts: 0 };
  const condition = slot.policy?.condition || RestartPolicy_Condition.ANY;
  const state = stateOf(last);
  if (state === TaskState.COMPLETE && condition !== RestartPolicy_Condition.ANY) return { kind: "completed" };
  if (state === TaskState.LOST || last.desiredState >= DesiredState.SHUTDOWN) {
    return { kind: "now", restarts: last.restarts };
  }
  if (condition === RestartPolicy_Condition.NONE) {
    return { kind: "given-up", why: "its restart condition is none" };
  }
  const maxAttempts = slot.policy?.maxAttempts ?? 0;
  if (maxAttempts > 0 && attempts(slot.ended, slot.policy?.windowMs ?? 0, slot.now) >= maxAttempts) {
    return { kind: "given-up", why: `it was restarted ${maxAttempts} times, as often as its policy allows` };
  }
  return schedule(last, slot.policy?.delayMs, slot.now);
}

/** Delay before restart number `restarts` (from 1) of a slot; grows with the number, and never passes a minute. */
export function restartDelayMs(
  restarts: number,
  policyDelayMs: number | undefined,
  jitterOf: string,
): number {
  const explicit = policyDelayMs !== undefined && policyDelayMs > 0;
  if (restarts <= 1 && !explicit) return 0;
  const doublings = explicit ? restarts - 1 : restarts - 2;
  const base = (explicit ? policyDelayMs : FIRST_BACKOFF_MS) * 2 ** Math.min(doublings, 30);
  const limit = Math.max(MAX_BACKOFF_MS, policyDelayMs ?? 0);
  return Math.min(limit, Math.round(base * (1 + JITTER * spreadOf(jitterOf))));
}

function schedule(last: Task, policyDelayMs: number | undefined, now: number): RestartDecision {
  const restarts = last.restarts + 1;
  const atMs = (last.status?.sinceMs ?? now) + restartDelayMs(restarts, policyDelayMs, last.id);
  return atMs <= now ? { kind: "now", restarts } : { kind: "at", atMs, restarts };
}

/**
 * Restarts that count against the policy. The history is short, so when all of it lies within the window the
 * counter that the task carries knows more.
 */
function attempts(ended: readonly Task[], windowMs: number, now: number): number {
  const counted = ended[0]?.restarts ?? 0;
  if (windowMs === 0) return counted;
  const recent = ended.filter((task) => (task.status?.sinceMs ?? 0) > now - windowMs).length;
  return recent === ended.length ? counted : Math.min(counted, recent - 1);
}

/**
 * A number from -1 to 1 that is always the same for one task: a delay that was drawn anew at each decision would
 * shrink to the smallest draw.
 */
function spreadOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at += 1) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  return ((hash >>> 0) / 0xffffffff) * 2 - 1;
}
