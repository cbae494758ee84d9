import { assertNever, DesiredState, type Task, TaskState } from "@berth/proto";
import type { Slot } from "../model/slots.js";
import {
  endText,
  isDisconnected,
  isPending,
  isReady,
  isUnhealthy,
  stateOf,
  successAtMs,
} from "../model/task-state.js";
import { pendingReason } from "../scheduler/pending-reason.js";
import type { OwnerTasks } from "./owner-tasks.js";
import { NOT_STOPPED, type SlotStep, type SlotStepContext, slotStep } from "./slot-step.js";
import { DEFAULT_PROGRESS_DEADLINE_MS } from "./update-policy.js";

/**
 * The state of one slot, computed once per decision.
 *
 * The rollout, the next batch, the plan, convergence and the dry run are derived from the slot states.
 */
export interface SlotState {
  readonly slot: Slot;
  /** The next step of the slot, regardless of the other slots. */
  readonly step: SlotStep;
  /** Version of the tasks that are created in the slot. */
  readonly version: number;
  /** Whether a replacement starts before the old task is stopped. */
  readonly startFirst: boolean;
  /** Tasks that are not needed, whatever happens to the other slots. */
  readonly superfluous: readonly Task[];
  readonly progress: SlotProgress;
  /** Whether the slot runs or has completed the desired version. */
  readonly isSatisfied: boolean;
  /** Reason why the slot is not in its desired state, for users. Empty if it is. */
  readonly reason: string;
  /** Whether the slot cannot proceed before a delay ends or another record changes. */
  readonly isBlocked: boolean;
  /** Time at which the step changes even without an event, in ms since the epoch. */
  readonly dueMs: number | undefined;
  /**
   * When drains and updates stop waiting for the slot, in ms since the epoch; 0 when they no longer wait. Undefined if
   * this does not depend on time alone. Without this limit, a replica that can never run would block a drain.
   */
  readonly giveUpAtMs: number | undefined;
}

/** The progress of a slot in a rollout. Whether it has failed depends on the rollout: see rollout-progress.ts. */
export type SlotProgress =
  /** Never had a task, so no update has reduced its availability and none waits for it. */
  | { readonly kind: "new" }
  /** Runs a task that is to be replaced. */
  | { readonly kind: "outdated" }
  | { readonly kind: "updating" }
  /** Ready. Counts as updated at `untilMs` unless the task ends earlier. */
  | { readonly kind: "monitoring"; readonly untilMs: number }
  | { readonly kind: "updated"; readonly sinceMs: number };

export interface SlotContext extends SlotStepContext {
  /** Version of new tasks. */
  readonly version: number;
  /** Whether tasks restart in their previous version, because a paused rollout must not replace tasks. */
  readonly isRolloutPaused: boolean;
  /** Time in ms after which other slots stop waiting for a slot that is not ready. */
  readonly deadlineMs: number;
  /** Whether a task whose owner is replaced too starts before the old task is stopped. */
  readonly startFirstWithOwner: boolean;
}

const OLDER_RUNS = "an older version still runs";

/**
 * Number of consecutive restarts after which other slots stop waiting for a slot: about two minutes, including delays.
 */
const GIVE_UP_RESTARTS = 8;

/** Determines the state of one slot. `nodes` and the tasks must have node losses applied. */
export function evaluateSlot(slot: Slot, context: SlotContext): SlotState {
  const version = context.isRolloutPaused ? lastRunVersion(slot, context) : context.version;
  const versionSlot = context.isRolloutPaused
    ? { ...slot, ended: slot.ended.filter((task) => task.specVersion === version) }
    : slot;
  const startFirst =
    context.startFirst || (context.startFirstWithOwner && isOwnerReplaced(slot, context.owners));
  const { step, superfluous } = slotStep(versionSlot, version, { ...context, startFirst });
  const assessment = assessStep(step, versionSlot, context);
  return { slot: versionSlot, step, version, startFirst, superfluous, ...assessment };
}

/** Returns whether no task of the slot runs beside its current owner. Tasks with different owners do not conflict. */
function isOwnerReplaced({ active }: Slot, owners: OwnerTasks | undefined): boolean {
  return owners !== undefined && active.length > 0 && !active.some((task) => owners.isFollowing(task));
}

/**
 * Returns the version of the task that ran last in the slot. Prefers versions whose tasks reached RUNNING.
 *
 * A slot of a global service restarts in the newest version, because its pending tasks belong to no slot.
 */
function lastRunVersion(slot: Slot, { version }: SlotContext): number {
  if (slot.nodeId !== "") return version;
  const candidates = slot.active.length > 0 ? slot.active : slot.ended;
  const haveRun = candidates.filter(({ status }) => status?.runningSinceMs !== undefined);
  const sinceMs = (task: Task): number => task.status?.sinceMs ?? 0;
  const [first, ...others] = haveRun.length > 0 ? haveRun : candidates;
  if (first === undefined) return slot.pending[0]?.specVersion ?? version;
  const last = others.reduce((latest, task) => (sinceMs(task) > sinceMs(latest) ? task : latest), first);
  return last.specVersion;
}

type Assessment = Omit<SlotState, "slot" | "step" | "version" | "startFirst" | "superfluous">;

const UPDATING: SlotProgress = { kind: "updating" };
const NEW: SlotProgress = { kind: "new" };
const OUTDATED: SlotProgress = { kind: "outdated" };
const COMPLETED: SlotProgress = { kind: "updated", sinceMs: 0 };

/** Derives the remaining fields from the step. Only this function and slot-actions.ts interpret steps. */
function assessStep(step: SlotStep, slot: Slot, context: SlotContext): Assessment {
  const base = { isSatisfied: false, isBlocked: false, dueMs: undefined, giveUpAtMs: undefined };
  switch (step.kind) {
    case "running":
    case "completed": {
      const progress = step.kind === "running" ? monitoredProgress(step.task, context) : COMPLETED;
      return { ...base, progress, isSatisfied: true, reason: leftoverReason(slot, context) };
    }
    case "monitoring": {
      const { untilMs } = step;
      return { ...base, progress: { kind: "monitoring", untilMs }, reason: OLDER_RUNS, dueMs: untilMs };
    }
    case "starting":
    case "pending": {
      const progress = step.kind === "pending" && !hasHistory(slot) ? NEW : UPDATING;
      const giveUpAtMs = taskGiveUpAtMs(step.task, context);
      return { ...base, progress, reason: unreadyReason(step.task), giveUpAtMs };
    }
    case "vacant": {
      const progress = hasHistory(slot) ? UPDATING : NEW;
      return { ...base, progress, reason: vacantReason(slot), giveUpAtMs: emptySlotGiveUpAtMs(slot) };
    }
    case "waiting": {
      const { reason, untilMs: dueMs } = step;
      const giveUpAtMs = emptySlotGiveUpAtMs(slot);
      return { ...base, progress: UPDATING, reason, isBlocked: true, dueMs, giveUpAtMs };
    }
    case "exhausted":
      return { ...base, progress: UPDATING, reason: step.reason, isBlocked: true, giveUpAtMs: 0 };
    case "replace":
      return { ...base, ...assessReplacement(step, slot) };
    default:
      return assertNever(step);
  }
}

const LEAVING_REASONS = {
  drained: "it must leave its node, which is drained",
  moved: "it is being moved to another node",
  "owner-replaced": "its owner task was replaced",
} as const;

function assessReplacement(
  { cause, attempt }: Extract<SlotStep, { kind: "replace" }>,
  slot: Slot,
): Pick<Assessment, "progress" | "isSatisfied" | "reason" | "isBlocked" | "dueMs"> {
  const serves = slot.active.some(isReady);
  const isAttempted = attempt.kind !== "none";
  const [task] = slot.active;
  const unready = serves || task === undefined ? "" : unreadyReason(task);
  const reason = cause === "outdated" ? OLDER_RUNS : unready || LEAVING_REASONS[cause];
  const isHeld = attempt.kind === "held";
  return {
    progress: isAttempted ? UPDATING : unattemptedProgress(cause, serves),
    isSatisfied: cause !== "outdated" && serves,
    reason: isHeld ? `${reason}; its replacement is held up: ${attempt.reason}` : reason,
    isBlocked: isHeld,
    dueMs: isHeld ? attempt.untilMs : undefined,
  };
}

/** Returns the progress of a slot whose replacement has not been created yet. */
function unattemptedProgress(
  cause: Extract<SlotStep, { kind: "replace" }>["cause"],
  serves: boolean,
): SlotProgress {
  if (cause === "outdated") return OUTDATED;
  return serves ? COMPLETED : UPDATING;
}

function monitoredProgress(task: Task, { monitorMs, nowMs }: SlotContext): SlotProgress {
  const atMs = successAtMs(task, monitorMs);
  return atMs > nowMs ? { kind: "monitoring", untilMs: atMs } : { kind: "updated", sinceMs: atMs };
}

/** Returns why a slot with the desired task is not in its desired state: other tasks are left. Empty if none are. */
function leftoverReason({ active, stopping }: Slot, { isCurrent }: SlotContext): string {
  if (active.length > 1) return active.every(isCurrent) ? "two tasks share a slot" : OLDER_RUNS;
  return stopping.length > 0 ? NOT_STOPPED : "";
}

function vacantReason({ ended: [last] }: Slot): string {
  if (last === undefined) return "";
  if (last.desiredState >= DesiredState.SHUTDOWN) return "it is being replaced";
  return endText(last);
}

/** Explains why a task is not ready. */
export function unreadyReason(task: Task): string {
  if (isPending(task)) return pendingReason(task);
  if (isUnhealthy(task)) return "it is unhealthy";
  if (isDisconnected(task)) return task.status?.message || "its node is unreachable";
  const activity = ACTIVITY_BY_STATE[stateOf(task)] ?? "it is not ready";
  return task.status?.message ? `${activity}: ${task.status.message}` : activity;
}

const ACTIVITY_BY_STATE: Readonly<Partial<Record<TaskState, string>>> = {
  [TaskState.ASSIGNED]: "it waits for its node",
  [TaskState.PREPARING]: "it is being prepared",
  [TaskState.STARTING]: "it is starting",
};

function hasHistory(slot: Slot): boolean {
  return slot.ended.length + slot.active.length + slot.stopping.length > 0;
}

function taskGiveUpAtMs({ restarts, createdAtMs }: Task, { deadlineMs }: SlotContext): number {
  if (restarts >= GIVE_UP_RESTARTS) return 0;
  return createdAtMs + (Number.isFinite(deadlineMs) ? deadlineMs : DEFAULT_PROGRESS_DEADLINE_MS);
}

function emptySlotGiveUpAtMs({ stopping, ended: [last] }: Slot): number | undefined {
  return stopping.length === 0 && (last?.restarts ?? 0) >= GIVE_UP_RESTARTS ? 0 : undefined;
}
