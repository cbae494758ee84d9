import { DesiredState, Health, type Node, type Task, TaskState } from "@berth/proto";
import { isEnded, shouldRun, stateOf } from "../model/task-state.js";
import { WAITING_FOR } from "../scheduler/pending-reason.js";
import type { EventReason, Happening } from "./event.js";

const END_REASONS: ReadonlyMap<TaskState, EventReason> = new Map<TaskState, EventReason>([
  [TaskState.COMPLETE, "TASK_COMPLETED"],
  [TaskState.FAILED, "TASK_FAILED"],
  [TaskState.SHUTDOWN, "TASK_STOPPED"],
  [TaskState.REJECTED, "TASK_REJECTED"],
  [TaskState.LOST, "TASK_LOST"],
]);

export interface TaskEventContext {
  /** When it happened. */
  readonly timeMs: number;
  readonly nodeOf: (nodeId: string) => Node | undefined;
}

/** What a change of one task's record says, in the order in which it happened. That records go is no news. */
export function eventsOfTask(
  { before, after }: { readonly before: Task | undefined; readonly after: Task | undefined },
  { timeMs, nodeOf }: TaskEventContext,
): readonly Happening[] {
  if (after === undefined) return [];
  const events: Happening[] = [];
  const tell = (reason: EventReason, message: string): void =>
    void events.push({ timeMs, reason, message, task: after, node: nodeOf(after.nodeId) });
  const was = before === undefined ? TaskState.UNSPECIFIED : stateOf(before);
  const is = stateOf(after);
  const message = after.status?.message ?? "";

  if (after.nodeId === "" && message !== "" && message !== before?.status?.message)
    tell(message.startsWith(WAITING_FOR) ? "TASK_WAITING" : "TASK_UNPLACEABLE", message);
  if (after.nodeId !== "" && (before?.nodeId ?? "") === "" && !isEnded(after))
    tell("TASK_PLACED", `on ${nodeOf(after.nodeId)?.description?.hostname || after.nodeId}`);
  if (was < TaskState.STARTING && (is === TaskState.STARTING || is === TaskState.RUNNING))
    tell("TASK_STARTED", message);
  if (!isEnded(after)) tellHealth(before, after, tell);
  if (before !== undefined && shouldRun(before) && !shouldRun(after) && !isEnded(after))
    tell("TASK_STOPPING", after.desiredState === DesiredState.REMOVE ? "to be removed" : "");
  const end = END_REASONS.get(is);
  if (end !== undefined && was !== is) tell(end, message);
  return events;
}

/** The latest that a task's record tells, when nobody saw what came before; undefined when that is nothing. */
export function lastEventOfTask(
  task: Task,
  context: Omit<TaskEventContext, "timeMs">,
): Happening | undefined {
  const timeMs = task.status?.sinceMs || task.createdAtMs;
  const before = { ...task, status: undefined, nodeId: isEnded(task) ? task.nodeId : "" };
  return eventsOfTask({ before, after: task }, { ...context, timeMs }).at(-1);
}

function tellHealth(
  before: Task | undefined,
  { status }: Task,
  tell: (reason: EventReason, message: string) => void,
): void {
  if (status === undefined || status.health === (before?.status?.health ?? Health.UNSPECIFIED)) return;
  if (status.health === Health.HEALTHY) tell("TASK_HEALTHY", status.message);
  if (status.health === Health.UNHEALTHY) tell("TASK_UNHEALTHY", status.message);
}
