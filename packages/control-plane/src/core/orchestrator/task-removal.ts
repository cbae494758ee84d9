import { DesiredState, NodeState, type Task, TaskState } from "@berth/proto";
import type { Action, EndState } from "../model/plan.js";
import type { Slot } from "../model/slots.js";
import type { NodeSnapshot, ServiceDefinition } from "../model/snapshot.js";
import { isEnded, isPending, stateOf } from "../model/task-state.js";

/**
 * Number of ended tasks kept per slot: enough to show a pattern of failures, few enough to keep all records in memory.
 */
export const HISTORY_PER_SLOT = 5;

/** Tests whether a task's record may be deleted without a report from its agent. */
export type GoneTest = (task: Task) => boolean;

/** Way in which a task is stopped or removed, and the reason. */
export interface Removal {
  readonly desired: EndState;
  readonly reason: string;
  readonly isGone: GoneTest;
}

/** Returns the action that stops or removes a task. Deletes the record at once when no agent has to act. */
export function removeTask(task: Task, { desired, reason, isGone }: Removal): readonly Action[] {
  if (isPending(task) || (desired === DesiredState.REMOVE && isGone(task))) {
    return [{ kind: "delete-task", task, reason }];
  }
  return task.desiredState >= desired ? [] : [{ kind: "set-desired-state", task, desired, reason }];
}

/** Returns the actions that stop tasks. */
export function stopTasks(tasks: readonly Task[], reason: string, isGone: GoneTest): readonly Action[] {
  return tasks.flatMap((task) => removeTask(task, { desired: DesiredState.SHUTDOWN, reason, isGone }));
}

/** Returns the actions that remove every task of a slot, including its history. */
export function removeSlot(slot: Slot, reason: string, isGone: GoneTest): readonly Action[] {
  const tasks = [...slot.pending, ...slot.active, ...slot.stopping, ...slot.ended];
  return tasks.flatMap((task) => removeTask(task, { desired: DesiredState.REMOVE, reason, isGone }));
}

/** Returns the actions that remove the ended tasks of a slot beyond the history limit. */
export function trimHistory(slot: Slot, isGone: GoneTest): readonly Action[] {
  if (slot.ended.length <= HISTORY_PER_SLOT) return [];
  const removal = { desired: DesiredState.REMOVE, reason: "history limit", isGone } as const;
  return slot.ended.slice(HISTORY_PER_SLOT).flatMap((task) => removeTask(task, removal));
}

/** Returns the deletions of tasks that are to be removed and whose removal no agent will report. */
export function deleteUnreportable(
  tasks: readonly Task[],
  isGone: GoneTest,
): readonly Extract<Action, { kind: "delete-task" }>[] {
  const actions: Extract<Action, { kind: "delete-task" }>[] = [];
  for (const task of tasks) {
    if (task.desiredState !== DesiredState.REMOVE || !isGone(task)) continue;
    actions.push({ kind: "delete-task", task, reason: "its node is gone" });
  }
  return actions;
}

/**
 * Returns a predicate for tasks that no agent will report as removed: the task has no node, its node is gone, or it is
 * LOST.
 *
 * If the node returns, its agent removes all containers that are not in its assignments. The record of a task of an
 * at-most-one service is kept until its node is fenced, because deleting it would free the slot.
 */
export function goneTest(
  definition: Pick<ServiceDefinition, "spec" | "revisions">,
  nodes: ReadonlyMap<string, NodeSnapshot>,
): GoneTest {
  return (task) => {
    if (task.nodeId === "" || stateOf(task) === TaskState.LOST) return true;
    const node = nodes.get(task.nodeId)?.node;
    if (node === undefined) return true;
    if (node.state === NodeState.READY) return false;
    return node.fenced || isEnded(task) || !isAtMostOne(task, definition);
  };
}

/** Returns whether the service is at-most-one, now or in the version that the task runs. */
export function isAtMostOne(
  { specVersion }: Task,
  { spec, revisions }: Pick<ServiceDefinition, "spec" | "revisions">,
): boolean {
  return spec.atMostOne || revisions.get(specVersion)?.atMostOne === true;
}
