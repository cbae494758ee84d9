import { type Task, TaskState } from "@berth/proto";
import { taskStateName } from "../../../output/state-names.js";
import { oneLine } from "../../../output/table.js";

/** How far the nodes are from being empty. */
export interface DrainProgress {
  readonly services: readonly ServiceDrain[];
  /** No task is left on the nodes, and none that moved is on its way. */
  readonly isDone: boolean;
}

export interface ServiceDrain {
  readonly name: string;
  /** Tasks that were on the nodes when the drain began, or came to them since. */
  readonly total: number;
  /** Those that have left. */
  readonly moved: number;
  /** What the rest is at, for a person; empty when there is nothing to say. */
  readonly note: string;
  /** Why tasks find no other node, each said once. */
  readonly stuck: readonly string[];
}

/** What was seen at one moment. */
export interface DrainSnapshot {
  /** Ids of the nodes that are drained. */
  readonly nodeIds: ReadonlySet<string>;
  /** All tasks of all services that have, or had, a task on one of the nodes. */
  readonly tasks: readonly Task[];
  /** Tasks that were on the nodes so far: those whose leaving is counted. */
  readonly seen: ReadonlyMap<string, Task>;
  /** Ids of tasks that had ended when the drain began: what became of them has nothing to do with it. */
  readonly endedBefore: ReadonlySet<string>;
}

/** Tasks on the nodes at this moment that have not ended. */
export function tasksOn(nodeIds: ReadonlySet<string>, tasks: readonly Task[]): readonly Task[] {
  return tasks.filter((task) => nodeIds.has(task.nodeId) && !hasEnded(task));
}

export function drainProgress(sighting: DrainSnapshot): DrainProgress {
  const names = [...new Set([...sighting.seen.values()].map(({ serviceName }) => serviceName))].sort();
  const services = names.map((name) => serviceDrain(name, sighting));
  return { services, isDone: services.every(({ moved, total, note }) => moved === total && note === "") };
}

function serviceDrain(name: string, { nodeIds, tasks, seen, endedBefore }: DrainSnapshot): ServiceDrain {
  const own = tasks.filter(({ serviceName }) => serviceName === name);
  const left = tasksOn(nodeIds, own);
  const total = [...seen.values()].filter(({ serviceName }) => serviceName === name).length;
  const elsewhere = own.filter((task) => !nodeIds.has(task.nodeId) && !hasEnded(task));
  const starting = elsewhere.filter(
    (task) => stateOf(task) > TaskState.NEW && stateOf(task) < TaskState.RUNNING,
  );
  const pending = elsewhere.filter((task) => stateOf(task) === TaskState.NEW);
  const failed = left.length === 0 ? [] : own.filter((task) => hasFailed(task) && !endedBefore.has(task.id));
  const note = [stateCounts(starting), left.length > 0 && starting.length === 0 ? stopping(left) : ""]
    .filter((text) => text !== "")
    .join(", ");
  return {
    name,
    total,
    moved: total - left.length,
    note,
    stuck: [...new Set([...pending, ...failed].map(reasonOf))],
  };
}

/** A replacement, most likely, while its former task is still here. */
function hasFailed(task: Task): boolean {
  return stateOf(task) === TaskState.FAILED || stateOf(task) === TaskState.REJECTED;
}

function stopping(left: readonly Task[]): string {
  const told = left.filter(({ desiredState }) => desiredState > 1).length;
  return told === 0 ? "" : `stopping ${told}`;
}

function stateCounts(tasks: readonly Task[]): string {
  const counts = new Map<TaskState, number>();
  for (const task of tasks) counts.set(stateOf(task), (counts.get(stateOf(task)) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${taskStateName(state)} ${count}`).join(", ");
}

function reasonOf(task: Task): string {
  const message = oneLine(task.status?.message ?? "");
  if (stateOf(task) === TaskState.NEW) return `no other node: ${message || "not placed yet"}`;
  const exit = task.status?.exitCode === undefined ? "" : `exit code ${task.status.exitCode}`;
  return `its replacement failed: ${message || exit || "for no reason that is known"}`;
}

export function hasEnded(task: Task): boolean {
  return stateOf(task) >= TaskState.COMPLETE;
}

function stateOf(task: Task): TaskState {
  return task.status?.state ?? TaskState.UNSPECIFIED;
}
