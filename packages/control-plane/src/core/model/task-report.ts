import { DesiredState, type Task, TaskState, TaskStatus } from "@berth/proto";
import { isEnded, shouldRun, stateOf } from "./task-state.js";

/** An agent's report about one task, as the dispatcher receives it. */
export interface TaskReport {
  readonly nodeId: string;
  readonly status: TaskStatus | undefined;
  /** Whether the node has no container and no files of the task left. */
  readonly removed: boolean;
}

/** The effect of a report on the task's record. */
export type TaskTransition =
  | { readonly kind: "unchanged" }
  | { readonly kind: "updated"; readonly task: Task }
  /** The record is no longer needed. */
  | { readonly kind: "deleted" }
  | { readonly kind: "ignored"; readonly reason: string };

/**
 * Applies an agent's report to a task.
 *
 * States only move forward, and each has one owner. The control plane sets NEW, ASSIGNED and LOST; the agent of the
 * task's node sets all other states. Agents repeat reports and may send them late. So a repeated report is "unchanged"
 * and a report of an earlier state is "ignored"; neither is an error.
 */
export function applyReport(task: Task, report: TaskReport, nowMs: number): TaskTransition {
  if (task.nodeId !== report.nodeId) return ignored(`the task is not on node ${report.nodeId}`);
  if (report.removed) return applyRemoval(task);
  if (report.status === undefined) return ignored("the report has no status");
  return applyStatus(task, report.status, nowMs);
}

function applyRemoval(task: Task): TaskTransition {
  return task.desiredState === DesiredState.REMOVE || stateOf(task) === TaskState.LOST
    ? { kind: "deleted" }
    : ignored("the task was not to be removed");
}

function applyStatus(task: Task, reported: TaskStatus, nowMs: number): TaskTransition {
  const from = stateOf(task);
  const to = reported.state;
  if (!AGENT_STATES.has(to)) return ignored("agents do not set this state");
  if (to < from) return ignored("the task is in a later state");
  if (to !== from && isEnded(task)) return ignored("the task has ended");
  const sinceMs = to === from ? (task.status?.sinceMs ?? nowMs) : nowMs;
  const runningSinceMs = to === TaskState.RUNNING && to !== from ? nowMs : task.status?.runningSinceMs;
  // A task that is to stop keeps the reason for that, unless the agent reports a message.
  const message = reported.message || (shouldRun(task) ? "" : (task.status?.message ?? ""));
  const status = { ...reported, message, sinceMs, runningSinceMs };
  if (task.status !== undefined && isSameStatus(task.status, status)) return { kind: "unchanged" };
  return { kind: "updated", task: { ...task, status } };
}

/** States that only agents set. */
const AGENT_STATES: ReadonlySet<TaskState> = new Set([
  TaskState.PREPARING,
  TaskState.STARTING,
  TaskState.RUNNING,
  TaskState.COMPLETE,
  TaskState.FAILED,
  TaskState.SHUTDOWN,
  TaskState.REJECTED,
]);

/** Compares encoded statuses. The encoding omits unset fields and covers fields that are added later. */
function isSameStatus(a: TaskStatus, b: TaskStatus): boolean {
  return JSON.stringify(TaskStatus.toJSON(a)) === JSON.stringify(TaskStatus.toJSON(b));
}

function ignored(reason: string): TaskTransition {
  return { kind: "ignored", reason };
}
