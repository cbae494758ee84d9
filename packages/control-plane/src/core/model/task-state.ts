import { DesiredState, Health, type Task, TaskState, taskStatusText } from "@berth/proto";

/** Returns the observed state of a task. A record without a status is NEW. */
export function stateOf(task: Task): TaskState {
  return task.status?.state ?? TaskState.NEW;
}

/** Returns whether the task has ended: its container does not run and will not run again. */
export function isEnded(task: Task): boolean {
  return stateOf(task) >= TaskState.COMPLETE;
}

/** Returns whether the task has no node yet. */
export function isPending(task: Task): boolean {
  return stateOf(task) <= TaskState.NEW;
}

/** Returns whether the desired state of the task is to run. */
export function shouldRun(task: Task): boolean {
  return task.desiredState <= DesiredState.RUNNING;
}

/**
 * Returns whether the task runs and probably serves: it is neither unhealthy, nor disconnected, nor in the start period
 * of its health check.
 */
export function isReady(task: Task): boolean {
  return (
    stateOf(task) === TaskState.RUNNING &&
    !isUnhealthy(task) &&
    !isDisconnected(task) &&
    task.status?.health !== Health.STARTING
  );
}

/** Returns whether the task's node went down and its agent has not reported since. */
export function isDisconnected(task: Task): boolean {
  return task.status?.health === Health.UNKNOWN;
}

export function isUnhealthy(task: Task): boolean {
  return task.status?.health === Health.UNHEALTHY;
}

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
export function endText(task: Task | undefined): string {
  return taskStatusText(task?.status) || "ended for an unknown reason";
}
