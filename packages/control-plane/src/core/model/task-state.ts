import { DesiredState, Health, type Task, TaskState } from "@berth/proto";

/** Observed state; a record without a status has just been made. */
export const stateOf = (task: Task): TaskState => task.status?.state ?? TaskState.NEW;

/** Nothing of it runs or will ever run. */
export const isEnded = (task: Task): boolean => stateOf(task) >= TaskState.COMPLETE;

/** Has no node yet. */
export const isPending = (task: Task): boolean => stateOf(task) <= TaskState.NEW;

/** Is to run, or to go on running. */
export const shouldRun = (task: Task): boolean => task.desiredState <= DesiredState.RUNNING;

/** Runs and is not known to be unhealthy. With a healthcheck a task only becomes RUNNING when healthy. */
export const isReady = (task: Task): boolean =>
  stateOf(task) === TaskState.RUNNING &&
  !isUnhealthy(task) &&
  !isDisconnected(task) &&
  task.status?.health !== Health.STARTING;

/** Its node went down, and its agent has not said since what became of it. */
export const isDisconnected = (task: Task): boolean => task.status?.health === Health.UNKNOWN;

/**
 * When a task that runs well counts as a success: at once when a healthcheck says so, else once it has run for
 * `monitorMs`.
 */
export function provenAtMs(task: Task, monitorMs: number): number {
  const sinceMs = task.status?.sinceMs ?? 0;
  return task.status?.health === Health.HEALTHY ? sinceMs : sinceMs + monitorMs;
}

export const isUnhealthy = (task: Task): boolean => task.status?.health === Health.UNHEALTHY;

/** Newest first; ids break ties so that the order never depends on that of the input. */
export function byAge(a: Task, b: Task): number {
  return b.createdAtMs - a.createdAtMs || (a.id < b.id ? 1 : -1);
}
