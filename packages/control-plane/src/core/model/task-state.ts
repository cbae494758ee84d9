import { DesiredState, Health, type Task, TaskState, taskStatusText } from "@berth/proto";

/** Returns the observed state of a task. A record without a status is NEW. */
export const stateOf = (task: Task): TaskState => task.status?.state ?? TaskState.NEW;

/** Returns whether the task has ended: its container does not run and will not run again. */
export const isEnded = (task: Task): boolean => stateOf(task) >= TaskState.COMPLETE;

/** Returns whether the task has no node yet. */
export const isPending = (task: Task): boolean => stateOf(task) <= TaskState.NEW;

/** Returns whether the desired state of the task is to run. */
export const shouldRun = (task: Task): boolean => task.desiredState <= DesiredState.RUNNING;

/**
 * Returns whether the task runs and probably serves: it is neither unhealthy, nor disconnected, nor in the start period
 * of its health check.
 */
export const isReady = (task: Task): boolean =>
  stateOf(task) === TaskState.RUNNING &&
  !isUnhealthy(task) &&
  !isDisconnected(task) &&
  task.status?.health !== Health.STARTING;

/** Returns whether the task's node went down and its agent has not reported since. */
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

/** Compares tasks by age, the newest first. IDs break ties, so the result does not depend on the order of the input. */
export function byAge(a: Task, b: Task): number {
  return b.createdAtMs - a.createdAtMs || (a.id < b.id ? 1 : -1);
}

/** Returns how a task ended, for users. */
export const endText = (task: Task | undefined): string =>
  taskStatusText(task?.status) || "ended for an unknown reason";
