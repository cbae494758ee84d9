import { assertNever, type Rollout } from "@berth/proto";
import { type FailureContext, SlotFailures } from "./slot-failures.js";
import type { SlotState } from "./slot-state.js";

/** The progress of a rollout, computed from the states of the slots and the rollout's record. */
export interface RolloutProgress {
  /** Slots between two tasks, including failed slots. */
  readonly updating: ReadonlySet<SlotState>;
  readonly updatedCount: number;
  /** Keys of the slots that have failed since the rollout began. */
  readonly failed: ReadonlySet<string>;
  readonly failedCount: number;
  /** Failure of the first newly failed slot. Empty if no slot newly failed. */
  readonly failure: string;
  /** Time when the last monitored slot counts as updated. Undefined if no slot is monitored. */
  readonly monitoredUntilMs: number | undefined;
  /** Time when the last slot counted as updated. 0 when no slot has since the rollout began. */
  readonly lastSuccessMs: number;
  readonly hasOutdated: boolean;
  readonly hasNew: boolean;
  /** Whether a slot that has not failed is being updated. */
  readonly isUpdating: boolean;
  /** Time when the slots being updated exceed the progress deadline. Undefined if there is no deadline. */
  readonly deadlineMs: number | undefined;
}

export interface ProgressContext extends FailureContext {
  readonly nowMs: number;
  /** Deadlines do not count the time before this leader took over. */
  readonly leaderSinceMs: number;
}

/** Computes the progress of a rollout. A failed slot stays failed until the rollout ends, even if it recovers. */
export function rolloutProgress(states: readonly SlotState[], context: ProgressContext): RolloutProgress {
  const { rollout } = context;
  const failures = new SlotFailures(states, context);
  const { unfinished, ...counts } = countSlots(states, failures, rollout);
  const deadline = progressDeadline(unfinished, counts.updatedCount, context);
  if (deadline.isOver) failures.addOverdue(unfinished);
  return {
    ...counts,
    failed: failures.keys,
    // The record counts all failed slots but names only some.
    failedCount: Math.max(failures.keys.size, rollout?.failedCount ?? 0),
    failure: failures.text,
    isUpdating: unfinished.length > 0 && !deadline.isOver,
    deadlineMs: deadline.atMs,
  };
}

/** The slots of a rollout, counted by their progress. */
interface SlotCounts
  extends Pick<
    RolloutProgress,
    "updating" | "updatedCount" | "monitoredUntilMs" | "lastSuccessMs" | "hasOutdated" | "hasNew"
  > {
  /** Slots being updated that have not failed. */
  readonly unfinished: readonly SlotState[];
}

/** Counts the slots, and records failed slots in `failures`. */
function countSlots(
  states: readonly SlotState[],
  failures: SlotFailures,
  rollout: Rollout | undefined,
): SlotCounts {
  const updating = new Set<SlotState>();
  const unfinished: SlotState[] = [];
  let updatedCount = 0;
  let monitoredUntilMs: number | undefined;
  let lastSuccessMs = 0;
  let hasOutdated = false;
  let hasNew = false;
  for (const state of states) {
    const { progress } = state;
    const hasFailed = failures.recordIfFailed(state);
    switch (progress.kind) {
      case "new":
        hasNew = true;
        break;
      case "outdated":
        hasOutdated ||= !hasFailed;
        break;
      case "updating":
        updating.add(state);
        if (!hasFailed) unfinished.push(state);
        break;
      case "monitoring":
        if (!hasFailed) monitoredUntilMs = Math.max(monitoredUntilMs ?? 0, progress.untilMs);
        break;
      case "updated":
        updatedCount += 1;
        if (!hasFailed && isNewVersion(state, rollout)) {
          lastSuccessMs = Math.max(lastSuccessMs, progress.sinceMs);
        }
        break;
      default:
        assertNever(progress);
    }
  }
  return { updating, unfinished, updatedCount, monitoredUntilMs, lastSuccessMs, hasOutdated, hasNew };
}

function isNewVersion({ step }: SlotState, rollout: Rollout | undefined): boolean {
  return step.kind === "running" && rollout !== undefined && step.task.specVersion > rollout.fromVersion;
}

interface Deadline {
  readonly isOver: boolean;
  /** Time of the deadline. Undefined if no slot is being updated, or there is no deadline. */
  readonly atMs: number | undefined;
}

const NO_DEADLINE: Deadline = { isOver: false, atMs: undefined };

/** Returns the deadline of the slots being updated. It restarts whenever one more slot is updated. */
function progressDeadline(
  unfinished: readonly SlotState[],
  updatedCount: number,
  { rollout, policy, nowMs, leaderSinceMs }: ProgressContext,
): Deadline {
  if (rollout === undefined || unfinished.length === 0 || updatedCount > rollout.updatedSlots) {
    return NO_DEADLINE;
  }
  const atMs = Math.max(rollout.progressedAtMs, leaderSinceMs) + policy.progressDeadlineMs;
  if (atMs <= nowMs) return { isOver: true, atMs: undefined };
  return { isOver: false, atMs: Number.isFinite(atMs) ? atMs : undefined };
}
