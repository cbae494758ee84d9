import { DesiredState, NodeState, type Task, TaskState } from "@berth/proto";
import type { Action, EndState } from "../model/plan.js";
import type { Slot } from "../model/slots.js";
import type { NodeSnapshot, ServiceDefinition } from "../model/snapshot.js";
import { isEnded, isPending, stateOf } from "../model/task-state.js";

/** Ended tasks kept per slot: enough to see a pattern of failures, few enough to keep every record in memory. */
export const HISTORY_PER_SLOT = 5;

/** Whether a task's record may be deleted without a report of its agent. */
export type GoneTest = (task: Task) => boolean;

export interface Removal {
  readonly desired: EndState;
  readonly reason: string;
  readonly isGone: GoneTest;
}

/** Stops or removes a task. Its record is deleted at once when no agent has to act. */
export function removeTask(task: Task, { desired, reason, isGone }: Removal): readonly Action[] {
  if (isPending(task) || (desired === DesiredState.REMOVE && isGone(task))) {
    return [{ kind: "delete-task", task, reason }];
  }
  return task.desiredState >= desired ? [] : [{ kind: "set-desired", task, desired, reason }];
}

export function stopTasks(tasks: readonly Task[], reason: string, isGone: GoneTest): readonly Action[] {
  return tasks.flatMap((task) => removeTask(task, { desired: DesiredState.SHUTDOWN, reason, isGone }));
}

/** Removes every task of a slot, its history included. */
export function removeSlot(slot: Slot, reason: string, isGone: GoneTest): readonly Action[] {
  const tasks = [...slot.pending, ...slot.active, ...slot.stopping, ...slot.ended];
  return tasks.flatMap((task) => removeTask(task, { desired: DesiredState.REMOVE, reason, isGone }));
}

/** Removes the ended tasks of a slot beyond the history limit. */
export function trimHistory(slot: Slot, isGone: GoneTest): readonly Action[] {
  if (slot.ended.length <= HISTORY_PER_SLOT) return [];
  const removal = { desired: DesiredState.REMOVE, reason: "history limit", isGone } as const;
  return slot.ended.slice(HISTORY_PER_SLOT).flatMap((task) => removeTask(task, removal));
}

/** Deletes tasks that are to be removed and whose removal no agent will ever report. */
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
 * Returns a test whether no agent will ever report a task as removed: the task has no node, its node is gone, or it
 * is LOST, which agents do not know about. Should the node return, its agent removes everything that is not in its
 * assignments.
 *
 * A task of an at-most-one service counts until its node is fenced. Deleting it earlier would free its slot.
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

/** Whether the service is at-most-one, or was in the version that the task runs. */
export function isAtMostOne(
  { specVersion }: Task,
  { spec, revisions }: Pick<ServiceDefinition, "spec" | "revisions">,
): boolean {
  return spec.atMostOne || revisions.get(specVersion)?.atMostOne === true;
}
