import { DesiredState, type Task, TaskState, TaskStatus } from "@berth/proto";
import { isEnded, stateOf } from "./task-state.js";

/** What an agent says of one task. */
export interface Report {
  readonly nodeId: string;
  readonly status: TaskStatus | undefined;
  /** Nothing of the task is left on the node. */
  readonly removed: boolean;
}

export type Transition =
  | { readonly kind: "unchanged" }
  | { readonly kind: "updated"; readonly task: Task }
  /** The record has served its purpose. */
  | { readonly kind: "deleted" }
  | { readonly kind: "ignored"; readonly why: string };

/**
 * What a report changes. States only move forward, and each has its owner: the control plane says NEW, ASSIGNED and
 * LOST, the agent of the task's node everything else. Reports are repeated and may be late, so one that says nothing
 * new is "unchanged" and one that would move back is "ignored"; neither is an error.
 */
export function transition(task: Task, report: Report, now: number): Transition {
  if (task.nodeId !== report.nodeId) return ignored(`the task is not on node ${report.nodeId}`);
  if (report.removed) return removal(task);
  if (report.status === undefined) return ignored("the report has no status");
  return move(task, report.status, now);
}

function removal(task: Task): Transition {
  return task.desiredState === DesiredState.REMOVE || stateOf(task) === TaskState.LOST
    ? { kind: "deleted" }
    : ignored("nobody asked for its removal");
}

function move(task: Task, reported: TaskStatus, now: number): Transition {
  const from = stateOf(task);
  const to = reported.state;
  if (!AGENT_STATES.has(to)) return ignored("an agent does not decide on this state");
  if (to < from) return ignored("it is further than that");
  if (to !== from && isEnded(task)) return ignored("it has ended already");
  const sinceMs = to === from ? (task.status?.sinceMs ?? now) : now;
  const runningSinceMs = to === TaskState.RUNNING && to !== from ? now : task.status?.runningSinceMs;
  const status = { ...reported, sinceMs, runningSinceMs };
  if (task.status !== undefined && sameStatus(task.status, status)) return { kind: "unchanged" };
  return { kind: "updated", task: { ...task, status } };
}

const AGENT_STATES: ReadonlySet<TaskState> = new Set([
  TaskState.PREPARING,
  TaskState.STARTING,
  TaskState.RUNNING,
  TaskState.COMPLETE,
  TaskState.FAILED,
  TaskState.SHUTDOWN,
  TaskState.REJECTED,
]);

/** Encoding skips what is unset, and knows fields that are added later. */
const sameStatus = (a: TaskStatus, b: TaskStatus): boolean =>
  JSON.stringify(TaskStatus.toJSON(a)) === JSON.stringify(TaskStatus.toJSON(b));

const ignored = (why: string): Transition => ({ kind: "ignored", why });
