import { DesiredState, NodeState, type Task, TaskState } from "@berth/proto";
import type { NodeView } from "../model.js";
import type { Action, EndState } from "../plan.js";
import { isPending, stateOf } from "../task-state.js";
import type { Slot } from "./slots.js";

/** Ended tasks kept per slot: enough to see a pattern of failures, few enough to keep every record in memory. */
export const HISTORY_PER_SLOT = 5;

type Nodes = ReadonlyMap<string, NodeView>;

/** Asks for a task to go; forgets it at once when no agent has to do anything for that. */
export function dismiss(
  task: Task,
  { desired, reason, nodes }: { readonly desired: EndState; readonly reason: string; readonly nodes: Nodes },
): readonly Action[] {
  if (isPending(task) || (desired === DesiredState.REMOVE && isOutOfReach(task, nodes))) {
    return [{ kind: "delete-task", task, reason }];
  }
  return task.desiredState >= desired ? [] : [{ kind: "set-desired", task, desired, reason }];
}

/** Everything of a slot goes, its history too. */
export function retire(slot: Slot, reason: string, nodes: Nodes): readonly Action[] {
  const tasks = [...slot.pending, ...slot.active, ...slot.stopping, ...slot.ended];
  return tasks.flatMap((task) => dismiss(task, { desired: DesiredState.REMOVE, reason, nodes }));
}

export function trimHistory(slot: Slot, nodes: Nodes): readonly Action[] {
  if (slot.ended.length <= HISTORY_PER_SLOT) return [];
  return slot.ended
    .slice(HISTORY_PER_SLOT)
    .flatMap((task) => dismiss(task, { desired: DesiredState.REMOVE, reason: "old history", nodes }));
}

/** Records that wait for an agent to report the removal, which none will ever do. */
export function forgotten(
  tasks: readonly Task[],
  nodes: Nodes,
): readonly Extract<Action, { kind: "delete-task" }>[] {
  const actions: Extract<Action, { kind: "delete-task" }>[] = [];
  for (const task of tasks) {
    if (task.desiredState !== DesiredState.REMOVE || !isOutOfReach(task, nodes)) continue;
    actions.push({
      kind: "delete-task",
      task,
      reason: "its node is gone, and removes it should it come back",
    });
  }
  return actions;
}

/**
 * No agent will ever report this task as removed: it has no node, its node is gone, or it is LOST, which agents are
 * not told of. Should the node come back, its agent removes whatever is not in its complete set.
 */
function isOutOfReach(task: Task, nodes: Nodes): boolean {
  if (task.nodeId === "" || stateOf(task) === TaskState.LOST) return true;
  return nodes.get(task.nodeId)?.node.state !== NodeState.READY;
}
