import { DesiredState, NodeState, type Task, TaskState } from "@berth/proto";
import type { Action, EndState } from "../model/plan.js";
import type { Slot } from "../model/slots.js";
import type { NodeSnapshot, ServiceDefinition } from "../model/snapshot.js";
import { isEnded, isPending, stateOf } from "../model/task-state.js";
import { isAtMostOne } from "./slots/fate.js";

/** Ended tasks kept per slot: enough to see a pattern of failures, few enough to keep every record in memory. */
export const HISTORY_PER_SLOT = 5;

/** Whether a task's record may go without its agent's word. */
export type GoneTest = (task: Task) => boolean;

/** Asks for a task to go; forgets it at once when no agent has to do anything for that. */
export function dismiss(
  task: Task,
  {
    desired,
    reason,
    isGone,
  }: { readonly desired: EndState; readonly reason: string; readonly isGone: GoneTest },
): readonly Action[] {
  if (isPending(task) || (desired === DesiredState.REMOVE && isGone(task))) {
    return [{ kind: "delete-task", task, reason }];
  }
  return task.desiredState >= desired ? [] : [{ kind: "set-desired", task, desired, reason }];
}

/** Everything of a slot goes, its history too. */
export function retire(slot: Slot, reason: string, isGone: GoneTest): readonly Action[] {
  const tasks = [...slot.pending, ...slot.active, ...slot.stopping, ...slot.ended];
  return tasks.flatMap((task) => dismiss(task, { desired: DesiredState.REMOVE, reason, isGone }));
}

export function trimHistory(slot: Slot, isGone: GoneTest): readonly Action[] {
  if (slot.ended.length <= HISTORY_PER_SLOT) return [];
  return slot.ended
    .slice(HISTORY_PER_SLOT)
    .flatMap((task) => dismiss(task, { desired: DesiredState.REMOVE, reason: "old history", isGone }));
}

/** Records that wait for an agent to report the removal, which none will ever do. */
export function forgotten(
  tasks: readonly Task[],
  isGone: GoneTest,
): readonly Extract<Action, { kind: "delete-task" }>[] {
  const actions: Extract<Action, { kind: "delete-task" }>[] = [];
  for (const task of tasks) {
    if (task.desiredState !== DesiredState.REMOVE || !isGone(task)) continue;
    actions.push({
      kind: "delete-task",
      task,
      reason: "its node is gone, and removes it should it come back",
    });
  }
  return actions;
}

/**
 * Says of a service's tasks whether no agent will ever report them as removed: those that have no node, whose node is
 * gone, or that are LOST, which agents are not told of. Should the node come back, its agent removes whatever is not in
 * its complete set.
 *
 * An at-most-one task goes on being counted until its node is fenced: to forget it would free its slot for another.
 */
export function goneTest(
  view: Pick<ServiceDefinition, "spec" | "revisions">,
  nodes: ReadonlyMap<string, NodeSnapshot>,
): GoneTest {
  return (task) => {
    if (task.nodeId === "" || stateOf(task) === TaskState.LOST) return true;
    const node = nodes.get(task.nodeId)?.node;
    if (node === undefined) return true;
    if (node.state === NodeState.READY) return false;
    return node.fenced || isEnded(task) || !isAtMostOne(task, view);
  };
}
