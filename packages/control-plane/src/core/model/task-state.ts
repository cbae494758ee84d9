import { DesiredState, Health, type Task, TaskState, taskStatusText } from "@berth/proto";

/** Returns the observed state. A record without a status is new. */
export const stateOf = (task: Task): TaskState => task.status?.state ?? TaskState.NEW;

/** Whether the task has ended: nothing of it runs or will run. */
export const isEnded = (task: Task): boolean => stateOf(task) >= TaskState.COMPLETE;

/** Whether the task has no node yet. */
export const isPending = (task: Task): boolean => stateOf(task) <= TaskState.NEW;

/** Whether the desired state of the task is to run. */
export const shouldRun = (task: Task): boolean => task.desiredState <= DesiredState.RUNNING;

/**
 * Whether the task runs and nothing suggests that it does not serve: it is neither unhealthy, nor disconnected, nor in
 * its health check's start period.
 */
export const isReady = (task: Task): boolean =>
  stateOf(task) === TaskState.RUNNING &&
  !isUnhealthy(task) &&
  !isDisconnected(task) &&
  task.status?.health !== Health.STARTING;

/** Whether the task's node went down and its agent has not reported since. */
export const isDisconnected = (task: Task): boolean => task.status?.health === Health.UNKNOWN;

export const isUnhealthy = (task: Task): boolean => task.status?.health === Health.UNHEALTHY;

/**
 * Returns when a ready task counts as a success: at once when a health check passed, otherwise after it has run for
 * `monitorMs`.
 */
export function successAtMs(task: Task, monitorMs: number): number {
  const sinceMs = task.status?.sinceMs ?? 0;
  return task.status?.health === Health.HEALTHY ? sinceMs : sinceMs + monitorMs;
}

/** Sorts newest first. Ids break ties, so the order never depends on the order of the input. */
export function byAge(a: Task, b: Task): number {
  return b.createdAtMs - a.createdAtMs || (a.id < b.id ? 1 : -1);
}

/** Explains how a task ended. */
export const endText = (task: Task | undefined): string =>
  taskStatusText(task?.status) || "ended for an unknown reason";
