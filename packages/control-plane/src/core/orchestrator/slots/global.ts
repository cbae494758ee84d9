import { Availability, NodeState, type Task } from "@berth/proto";
import { isInUse, type Slot, type SlotRef, slotsByNode } from "../../model/slots.js";
import type { NodeSnapshot } from "../../model/snapshot.js";
import { isPending, shouldRun } from "../../model/task-state.js";
import { eligibilityOf } from "../../scheduler/filters.js";
import type { TaskRequirements } from "../../scheduler/requirements.js";
import type { Wanted } from "./wanted.js";

/**
 * One slot on each node that meets the constraints and is up. A paused node keeps the task it has and gets none;
 * a dead one keeps its history, so that its task can be looked at and comes back with it.
 */
export function wantedOnNodes(
  tasks: readonly Task[],
  { need, nodes }: { readonly need: TaskRequirements; readonly nodes: ReadonlyMap<string, NodeSnapshot> },
): Wanted {
  const suits = nodeSuits(need);
  const keep: Slot[] = [];
  const retire: Slot[] = [];
  const known = new Set<string>();
  for (const slot of slotsByNode(tasks)) {
    const view = nodes.get(slot.nodeId);
    known.add(slot.nodeId);
    if (view === undefined || !suits(view)) {
      if (view?.node.state !== NodeState.DOWN && isInUse(slot)) retire.push(slot);
    } else if (isActive(view) || slot.active.length > 0) {
      keep.push(slot);
    }
  }
  return { keep, retire, fresh: freshNodes(nodes, known, suits), unbound: tasks.filter(isUnbound) };
}

/** Asks whether a global service with this need is to run on a node, now that the node is as it is. */
export function nodeSuits(need: TaskRequirements): (view: NodeSnapshot) => boolean {
  const eligible = eligibilityOf(need);
  return (view) =>
    view.node.state === NodeState.READY && view.node.availability !== Availability.DRAIN && eligible(view);
}

export const isActive = ({ node }: NodeSnapshot): boolean => node.availability !== Availability.PAUSE;

const isUnbound = (task: Task): boolean => task.nodeId === "" && isPending(task) && shouldRun(task);

function freshNodes(
  nodes: ReadonlyMap<string, NodeSnapshot>,
  known: ReadonlySet<string>,
  suits: (view: NodeSnapshot) => boolean,
): readonly SlotRef[] {
  const fresh: SlotRef[] = [];
  for (const [nodeId, view] of nodes) {
    if (!known.has(nodeId) && isActive(view) && suits(view)) fresh.push({ number: 0, nodeId });
  }
  return fresh.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
}
