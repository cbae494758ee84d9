import { DesiredState, type Rollout, type Task, TaskState } from "@berth/proto";
import { type Slot, slotKey, slotName } from "../model/slots.js";
import { endText, stateOf } from "../model/task-state.js";
import type { SlotState } from "./slot-state.js";
import type { UpdatePolicy } from "./update-policy.js";

/** Number of rejected tasks after which a slot has failed, on whichever nodes. Otherwise a rollout could hang. */
const MAX_REJECTIONS = 3;

export interface FailureContext {
  readonly policy: UpdatePolicy;
  /** The active rollout. */
  readonly rollout: Rollout | undefined;
  /** Returns whether a node other than these could run a task of the slot. */
  readonly hasOtherNode: (slot: Slot, nodeIds: ReadonlySet<string>) => boolean;
}

/** Collects the failed slots of the active rollout. */
export class SlotFailures {
  readonly keys: Set<string>;
  readonly #context: FailureContext;
  readonly #rejectingNodes: ReadonlySet<string>;
  #text = "";

  constructor(states: readonly SlotState[], context: FailureContext) {
    this.#context = context;
    this.keys = new Set(context.rollout?.failedSlots);
    this.#rejectingNodes =
      context.rollout === undefined ? new Set() : rejectingNodes(states, context.rollout);
  }

  /** Failure of the first newly failed slot. Empty if no slot newly failed. */
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
      (ended) => ended.specVersion > rollout.fromVersion && this.#endCountsAsFailure(ended, state),
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
      step.kind === "exhausted" ||
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
