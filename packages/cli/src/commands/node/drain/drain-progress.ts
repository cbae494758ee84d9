import { DesiredState, type Task, TaskState } from "@berth/proto";
import { countByState, hasEnded, isFailed, statusMessage, taskState } from "../../../output/task-text.js";

/** The progress of `berth node drain`, derived from the tasks of the cluster. */
export interface DrainProgress {
  readonly services: readonly ServiceDrainProgress[];
  /** Whether no task is left on the nodes and no moved task is still starting. */
  readonly isDone: boolean;
}

/** The progress of one service's tasks. */
export interface ServiceDrainProgress {
  readonly name: string;
  /** Tasks that were on the nodes at any time during the drain. */
  readonly total: number;
  /** The number of these tasks that are no longer on the nodes. */
  readonly moved: number;
  /** Whether no task of the service is left on the nodes, and none of its moved tasks is still starting. */
  readonly isDone: boolean;
  /** Description of the tasks that are starting or stopping. Empty if there are none. */
  readonly note: string;
  /** Reasons why tasks do not run on other nodes, without duplicates. */
  readonly blockedReasons: readonly string[];
}

/** The tasks at one point in time during the drain. */
export interface DrainSnapshot {
  /** IDs of the drained nodes. */
  readonly nodeIds: ReadonlySet<string>;
  /** All tasks of the services that have had a task on the nodes. */
  readonly tasks: readonly Task[];
  /** All tasks that were on the nodes at any time since the drain began, by ID. */
  readonly drainedTasks: ReadonlyMap<string, Task>;
  /** IDs of tasks that had already ended when the drain began. Their failures are unrelated to it. */
  readonly endedBeforeIds: ReadonlySet<string>;
}

/** Returns the tasks on the nodes that have not ended. */
export function unfinishedTasksOn(nodeIds: ReadonlySet<string>, tasks: readonly Task[]): readonly Task[] {
  return tasks.filter((task) => nodeIds.has(task.nodeId) && !hasEnded(task));
}

/** Computes the progress of each service from a snapshot. */
export function evaluateDrain(snapshot: DrainSnapshot): DrainProgress {
  const names = [
    ...new Set([...snapshot.drainedTasks.values()].map(({ serviceName }) => serviceName)),
  ].sort();
  const services = names.map((name) => evaluateService(name, snapshot));
  return { services, isDone: services.every(({ isDone }) => isDone) };
}

function evaluateService(
  name: string,
  { nodeIds, tasks, drainedTasks, endedBeforeIds }: DrainSnapshot,
): ServiceDrainProgress {
  const serviceTasks = tasks.filter(({ serviceName }) => serviceName === name);
  const remaining = unfinishedTasksOn(nodeIds, serviceTasks);
  const total = [...drainedTasks.values()].filter(({ serviceName }) => serviceName === name).length;
  const elsewhere = serviceTasks.filter((task) => !nodeIds.has(task.nodeId) && !hasEnded(task));
  const starting = elsewhere.filter(isStarting);
  const pending = elsewhere.filter((task) => taskState(task) === TaskState.NEW);
  // While a task is still on the nodes, a failed task is most likely its replacement.
  const failed =
    remaining.length === 0
      ? []
      : serviceTasks.filter((task) => isFailed(task) && !endedBeforeIds.has(task.id));
  const note = starting.length > 0 ? countByState(starting) : stoppingText(remaining);
  return {
    name,
    total,
    moved: total - remaining.length,
    isDone: remaining.length === 0 && starting.length === 0,
    note,
    blockedReasons: [...new Set([...pending, ...failed].map(blockedReason))],
  };
}

function stoppingText(remaining: readonly Task[]): string {
  const stopping = remaining.filter(isStopping).length;
  return stopping === 0 ? "" : `stopping ${stopping}`;
}

/** Returns whether a task has a node and is on its way to running. The states are numbered in their order. */
function isStarting(task: Task): boolean {
  const state = taskState(task);
  return state > TaskState.NEW && state < TaskState.RUNNING;
}

function isStopping({ desiredState }: Task): boolean {
  return desiredState > DesiredState.RUNNING;
}

function blockedReason(task: Task): string {
  const message = statusMessage(task);
  if (taskState(task) === TaskState.NEW) return `no suitable node: ${message || "not placed yet"}`;
  return `replacement failed: ${message || "unknown reason"}`;
}
