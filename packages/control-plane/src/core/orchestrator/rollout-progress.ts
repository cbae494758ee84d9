import { assertNever, DesiredState, type Rollout, type Task, TaskState } from "@berth/proto";
import { type Slot, slotKey, slotName } from "../model/slots.js";
import { endText, stateOf } from "../model/task-state.js";
import type { SlotState } from "./slot-state.js";
import type { UpdatePolicy } from "./update-policy.js";

/** The progress of a rollout, computed from the states of the slots and the rollout's record. */
export interface RolloutProgress {
  /** Slots between two tasks, including failed slots. */
  readonly updating: ReadonlySet<SlotState>;
  readonly updatedCount: number;
  /** Keys of the slots that have failed since the rollout began. */
  readonly failed: ReadonlySet<string>;
  readonly failedCount: number;
  /** Why the first newly failed slot failed. Empty when no slot newly failed. */
  readonly failure: string;
  /** When the last monitored slot counts as updated. Undefined when no slot is monitored. */
  readonly monitoredUntilMs: number | undefined;
  /** When the last slot counted as updated; 0 when no slot has since the rollout began. */
  readonly lastSuccessMs: number;
  readonly hasOutdated: boolean;
  readonly hasNew: boolean;
  /** Whether a slot that has not failed is being updated. */
  readonly isUpdating: boolean;
  /** When the slots being updated exceed the progress deadline. Undefined when there is no deadline. */
  readonly deadlineMs: number | undefined;
}

export interface ProgressContext {
  readonly policy: UpdatePolicy;
  readonly now: number;
  /** Deadlines do not count the time before this leader took over. */
  readonly leaderSinceMs: number;
  /** The active rollout. */
  readonly rollout: Rollout | undefined;
  /** Returns whether a node other than these could run a task of the slot. */
  readonly hasOtherNode: (slot: Slot, nodeIds: ReadonlySet<string>) => boolean;
}

/** Computes the progress of a rollout. A failed slot stays failed until the rollout ends, even if it recovers. */
export function rolloutProgress(states: readonly SlotState[], context: ProgressContext): RolloutProgress {
  const { rollout } = context;
  const failures = new SlotFailures(states, context);
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
  const deadline = progressDeadline(unfinished, updatedCount, context);
  if (deadline.isOver) failures.addOverdue(unfinished);
  return {
    updating,
    updatedCount,
    failed: failures.keys,
    // The record counts all failed slots but names only some.
    failedCount: Math.max(failures.keys.size, rollout?.failedCount ?? 0),
    failure: failures.text,
    monitoredUntilMs,
    lastSuccessMs,
    hasOutdated,
    hasNew,
    isUpdating: unfinished.length > 0 && !deadline.isOver,
    deadlineMs: deadline.atMs,
  };
}

function isNewVersion({ step }: SlotState, rollout: Rollout | undefined): boolean {
  return step.kind === "running" && rollout !== undefined && step.task.specVersion > rollout.fromVersion;
}

interface Deadline {
  readonly isOver: boolean;
  /** Undefined when no slot is being updated, or there is no deadline. */
  readonly atMs: number | undefined;
}

const NO_DEADLINE: Deadline = { isOver: false, atMs: undefined };

/** Returns the deadline of the slots being updated. It restarts whenever one more slot is updated. */
function progressDeadline(
  unfinished: readonly SlotState[],
  updatedCount: number,
  { rollout, policy, now, leaderSinceMs }: ProgressContext,
): Deadline {
  if (rollout === undefined || unfinished.length === 0 || updatedCount > rollout.updatedSlots) {
    return NO_DEADLINE;
  }
  const atMs = Math.max(rollout.progressedAtMs, leaderSinceMs) + policy.progressDeadlineMs;
  if (atMs <= now) return { isOver: true, atMs: undefined };
  return { isOver: false, atMs: Number.isFinite(atMs) ? atMs : undefined };
}

/** A slot whose tasks were rejected this often has failed, on whichever nodes. Otherwise a rollout could hang. */
const MAX_REJECTIONS = 3;

/** Collects the failed slots of the active rollout. */
class SlotFailures {
  readonly keys: Set<string>;
  readonly #context: ProgressContext;
  readonly #rejectingNodes: ReadonlySet<string>;
  #text = "";

  constructor(states: readonly SlotState[], context: ProgressContext) {
    this.#context = context;
    this.keys = new Set(context.rollout?.failedSlots);
    this.#rejectingNodes =
      context.rollout === undefined ? new Set() : rejectingNodes(states, context.rollout);
  }

  /** Why the first newly failed slot failed. Empty when no slot newly failed. */
  get text(): string {
    return this.#text;
  }

  /** Records the slot if it has failed. Returns whether it has, now or before. */
  recordIfFailed(state: SlotState): boolean {
    const { rollout } = this.#context;
    const { slot } = state;
    if (rollout === undefined || (this.keys.size === 0 && slot.ended.length === 0)) return false;
    const key = slotKey(slot);
    if (this.keys.has(key)) return true;
    const task = slot.ended.find(
      (each) => each.specVersion > rollout.fromVersion && this.#endCountsAsFailure(each, state),
    );
    if (task === undefined) return false;
    this.#add(key, `${slotName(slot)}: ${endText(task)}`);
    return true;
  }

  /** Records that the slots exceeded the progress deadline. */
  addOverdue(states: readonly SlotState[]): void {
    const [first] = states;
    if (first === undefined) return;
    const waited = waitText(this.#context.policy.progressDeadlineMs);
    const text = `no progress for ${waited}: ${slotName(first.slot)}: ${first.reason}`;
    for (const { slot } of states) this.#add(slotKey(slot), text);
  }

  #add(key: string, text: string): void {
    this.keys.add(key);
    this.#text ||= text;
  }

  /** Returns whether the end of a task counts against its version. Stopped and lost tasks do not count. */
  #endCountsAsFailure(task: Task, state: SlotState): boolean {
    const { monitorMs, mayComplete } = this.#context.policy;
    const taskState = stateOf(task);
    if (task.desiredState >= DesiredState.SHUTDOWN || taskState === TaskState.LOST) return false;
    if (taskState === TaskState.COMPLETE && mayComplete) return false;
    if (taskState === TaskState.REJECTED) return this.#rejectionCountsAsFailure(state);
    const { runningSinceMs, sinceMs = 0 } = task.status ?? {};
    return runningSinceMs === undefined || sinceMs - runningSinceMs < monitorMs;
  }

  /**
   * Returns whether a rejection counts against the version rather than the node.
   *
   * It counts when a second node rejects the version too, or when no other node will try the slot. It does not count
   * once the slot runs on another node.
   */
  #rejectionCountsAsFailure({ slot, step }: SlotState): boolean {
    if (step.kind === "running" || step.kind === "monitoring") return false;
    const isFinal =
      step.kind === "given-up" ||
      (step.kind === "replace" && step.attempt.kind === "held" && step.attempt.untilMs === undefined);
    if (this.#rejectingNodes.size > 1 || isFinal) return true;
    const rejections = slot.ended.filter((task) => stateOf(task) === TaskState.REJECTED).length;
    return rejections >= MAX_REJECTIONS || !this.#context.hasOtherNode(slot, this.#rejectingNodes);
  }
}

/** Returns the nodes that rejected a task of the versions that the rollout introduces. */
function rejectingNodes(states: readonly SlotState[], { fromVersion }: Rollout): ReadonlySet<string> {
  const nodeIds = new Set<string>();
  for (const { slot } of states) {
    for (const task of slot.ended) {
      if (task.specVersion > fromVersion && stateOf(task) === TaskState.REJECTED) nodeIds.add(task.nodeId);
    }
  }
  return nodeIds;
}

/** Formats a deadline for users, in minutes or seconds. */
function waitText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds % 60 === 0 && seconds > 0 ? `${seconds / 60} min` : `${seconds} s`;
}
