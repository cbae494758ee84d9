import { DesiredState, Health, type Node, type Task, TaskState, taskStatusText } from "@berth/proto";
import { isEnded, shouldRun, stateOf } from "../model/task-state.js";
import { isWaiting } from "../scheduler/pending-reason.js";
import type { EventReason, EventRecord } from "./event.js";

const END_REASONS: ReadonlyMap<TaskState, EventReason> = new Map<TaskState, EventReason>([
  [TaskState.COMPLETE, "TASK_COMPLETED"],
  [TaskState.FAILED, "TASK_FAILED"],
  [TaskState.SHUTDOWN, "TASK_STOPPED"],
  [TaskState.REJECTED, "TASK_REJECTED"],
  [TaskState.LOST, "TASK_LOST"],
]);

/** A task's record before and after a change. Undefined if there is no record. */
export interface TaskChange {
  readonly before: Task | undefined;
  readonly after: Task | undefined;
}

export interface TaskEventContext {
  readonly timeMs: number;
  readonly nodeOf: (nodeId: string) => Node | undefined;
}

/** Returns the events of one change of a task's record, oldest first. Deleting a record causes no event. */
export function taskEvents(
  { before, after }: TaskChange,
  { timeMs, nodeOf }: TaskEventContext,
): readonly EventRecord[] {
  if (after === undefined) return [];
  const events: EventRecord[] = [];
  const add = (reason: EventReason, text: string): void => {
    events.push({ timeMs, reason, message: text, task: after, node: nodeOf(after.nodeId) });
  };
  const from = before === undefined ? TaskState.UNSPECIFIED : stateOf(before);
  const to = stateOf(after);
  const message = after.status?.message ?? "";

  if (after.nodeId === "" && message !== "" && message !== before?.status?.message) {
    add(isWaiting(after) ? "TASK_WAITING" : "TASK_UNPLACEABLE", message);
  }
  if (after.nodeId !== "" && (before?.nodeId ?? "") === "" && !isEnded(after)) {
    add("TASK_PLACED", `on ${nodeOf(after.nodeId)?.description?.hostname || after.nodeId}`);
  }
  if (from < TaskState.STARTING && (to === TaskState.STARTING || to === TaskState.RUNNING)) {
    add("TASK_STARTED", message);
  }
  if (!isEnded(after)) addHealth(before, after, add);
  if (before !== undefined && shouldRun(before) && !shouldRun(after) && !isEnded(after)) {
    add("TASK_STOPPING", message || (after.desiredState === DesiredState.REMOVE ? "to be removed" : ""));
  }
  const end = END_REASONS.get(to);
  if (end !== undefined && from !== to) add(end, taskStatusText(after.status));
  return events;
}

/**
 * Reconstructs the last event from a task's record. Used after a change of leader, because a leader keeps events only in
 * memory.
 */
export function lastTaskEvent(
  task: Task,
  context: Omit<TaskEventContext, "timeMs">,
): EventRecord | undefined {
  const timeMs = task.status?.sinceMs || task.createdAtMs;
  // An ended task keeps its node in the earlier record: its last event is its end, and not its placement.
  const before = { ...task, status: undefined, nodeId: isEnded(task) ? task.nodeId : "" };
  return taskEvents({ before, after: task }, { ...context, timeMs }).at(-1);
}

function addHealth(
  before: Task | undefined,
  { status }: Task,
  add: (reason: EventReason, message: string) => void,
): void {
  if (status === undefined || status.health === (before?.status?.health ?? Health.UNSPECIFIED)) return;
  if (status.health === Health.HEALTHY) add("TASK_HEALTHY", status.message);
  if (status.health === Health.UNHEALTHY) add("TASK_UNHEALTHY", status.message);
}
