import {
  assertNever,
  RestartPolicy_Condition as Condition,
  DesiredState,
  type RestartPolicy,
  type Task,
  TaskState,
} from "@berth/proto";
import { stateOf } from "../model/task-state.js";
import type { CurrentTaskFilter } from "../model/template.js";

/** Ready time of a task that resets the restart count of its slot. */
export const RESET_RESTARTS_AFTER_MS = 60_000;
/** Longest delay between two restarts. After the cause is repaired, the task starts within about a minute. */
export const MAX_BACKOFF_MS = 60_000;
/** Delay of the second restart when the policy has none. The first restart is immediate. */
const FIRST_BACKOFF_MS = 1_000;
/**
 * Largest random share of a delay, which spreads the restarts of slots. It is below 1/3, so that each delay is longer
 * than the previous one.
 */
const JITTER_RATIO = 0.25;

/** Whether and when an empty slot gets its next task. */
export type RestartDecision =
  | { readonly kind: "now"; readonly restarts: number }
  | { readonly kind: "at"; readonly atMs: number; readonly restarts: number }
  /** The task has completed, and the slot stays empty. */
  | { readonly kind: "completed" }
  | { readonly kind: "exhausted"; readonly reason: string };

export interface RestartInput {
  /** Ended tasks of the slot, newest first. */
  readonly ended: readonly Task[];
  readonly policy: RestartPolicy | undefined;
  readonly isCurrent: CurrentTaskFilter;
  readonly nowMs: number;
}

/**
 * Decides whether and when an empty slot gets its next task.
 *
 * The restart policy only applies to a task that ended by itself. A task that was stopped, was lost with its node, or
 * ran another version is replaced at once. A new version starts with a restart count of 0.
 */
export function decideRestart({ ended, policy, isCurrent, nowMs }: RestartInput): RestartDecision {
  const last = ended[0];
  if (last === undefined || !isCurrent(last)) return { kind: "now", restarts: 0 };
  const condition = policy?.condition || Condition.ANY;
  const state = stateOf(last);
  if (state === TaskState.COMPLETE && condition !== Condition.ANY) return { kind: "completed" };
  if (state === TaskState.LOST || last.desiredState >= DesiredState.SHUTDOWN) {
    return { kind: "now", restarts: last.restarts };
  }
  switch (condition) {
    case Condition.NONE:
      return { kind: "exhausted", reason: "its restart condition is none" };
    case Condition.ANY:
    case Condition.ON_FAILURE:
      return restartWithBackoff(ended, last, policy, nowMs);
    default:
      return assertNever(condition);
  }
}

function restartWithBackoff(
  ended: readonly Task[],
  last: Task,
  policy: RestartPolicy | undefined,
  nowMs: number,
): RestartDecision {
  const maxAttempts = policy?.maxAttempts ?? 0;
  if (maxAttempts > 0 && countedRestarts(ended, policy?.windowMs ?? 0, nowMs) >= maxAttempts) {
    const times = maxAttempts === 1 ? "once" : `${maxAttempts} times`;
    return { kind: "exhausted", reason: `it was restarted ${times}, as often as its policy allows` };
  }
  const restarts = last.restarts + 1;
  const atMs = (last.status?.sinceMs ?? nowMs) + restartDelayMs(restarts, policy?.delayMs, last.id);
  return atMs <= nowMs ? { kind: "now", restarts } : { kind: "at", atMs, restarts };
}

/** Returns the delay before restart number `restarts` (from 1). Doubles each time, up to a minute or the policy's delay if that is longer. */
export function restartDelayMs(
  restarts: number,
  policyDelayMs: number | undefined,
  jitterKey: string,
): number {
  const hasDelay = policyDelayMs !== undefined && policyDelayMs > 0;
  if (restarts <= 1 && !hasDelay) return 0;
  const doublings = hasDelay ? restarts - 1 : restarts - 2;
  const delayMs = (hasDelay ? policyDelayMs : FIRST_BACKOFF_MS) * 2 ** Math.min(doublings, 30);
  const limit = Math.max(MAX_BACKOFF_MS, policyDelayMs ?? 0);
  return Math.min(limit, Math.round(delayMs * (1 + JITTER_RATIO * jitterFactor(jitterKey))));
}

/**
 * Returns the number of restarts that count against the policy.
 *
 * The history is limited. If all of its tasks ended within the window, the restart count of the newest task is used.
 */
function countedRestarts(ended: readonly Task[], windowMs: number, nowMs: number): number {
  const total = ended[0]?.restarts ?? 0;
  if (windowMs === 0) return total;
  const recent = ended.filter((task) => (task.status?.sinceMs ?? 0) > nowMs - windowMs).length;
  return recent === ended.length ? total : Math.min(total, recent - 1);
}

/**
 * Returns a number from -1 to 1 that is constant for a key (32-bit FNV-1a).
 *
 * A new random number for each decision would shorten the delay to the smallest number drawn.
 */
function jitterFactor(key: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return ((hash >>> 0) / 0xffffffff) * 2 - 1;
}
