import { type JobStatus, NodeState, type Task } from "@berth/proto";
import type { Need } from "./filters.js";
import { isActive, nodeSuits } from "./global.js";
import type { ClusterView, NodeView, ServiceView } from "./model.js";
import { type Slot, type SlotRef, slotsByNode, slotsByNumber } from "./slots.js";
import { isPending, isWanted } from "./task-state.js";

/** The slots of one run: each is to complete once. */
export interface JobSlots {
  readonly slots: readonly Slot[];
  /** Not asked for any more: they go with everything in them. */
  readonly retire: readonly Slot[];
  /** NEW tasks that belong to no slot yet, as those of a global job. */
  readonly unbound: readonly Task[];
}

/** @param tasks those of the run alone */
export function jobSlots(
  run: JobStatus,
  tasks: readonly Task[],
  context: { readonly spec: ServiceView["spec"]; readonly need: Need; readonly cluster: ClusterView },
): JobSlots {
  const { mode } = context.spec;
  return mode?.$case === "replicatedJob"
    ? numberedSlots(tasks, mode.value.totalCompletions)
    : slotsOnNodes(run, tasks, context);
}

function numberedSlots(tasks: readonly Task[], total: number): JobSlots {
  const known = new Map(slotsByNumber(tasks).map((slot) => [slot.number, slot]));
  const slots = Array.from({ length: total }, (_, index) => {
    const number = index + 1;
    return known.get(number) ?? emptySlot({ number, nodeId: "" });
  });
  return { slots, retire: [...known.values()].filter(({ number }) => number > total), unbound: [] };
}

/**
 * The nodes that were there when the run began. One that has a task of the run and went down keeps its slot: the work
 * is that node's, and is done when it is back. One that was drained, removed or no longer meets the constraints is out.
 */
function slotsOnNodes(
  run: JobStatus,
  tasks: readonly Task[],
  { need, cluster }: { readonly need: Need; readonly cluster: ClusterView },
): JobSlots {
  const suits = nodeSuits(need);
  const slots: Slot[] = [];
  const retire: Slot[] = [];
  const known = new Set<string>();
  for (const slot of slotsByNode(tasks)) {
    const view = cluster.nodes.get(slot.nodeId);
    known.add(slot.nodeId);
    if (view !== undefined && (isDown(view) || suits(view))) slots.push(slot);
    else retire.push(slot);
  }
  const fresh = [...cluster.nodes.values()].filter((view) => !known.has(view.node.id) && suits(view));
  const early = fresh.filter(({ node }) => node.createdAtMs <= run.startedAtMs);
  // A run that found no node at all takes the first that comes.
  const joining = slots.length === 0 && early.length === 0 ? fresh : early;
  for (const view of joining) if (isActive(view)) slots.push(emptySlot({ number: 0, nodeId: view.node.id }));
  const unbound = tasks.filter((task) => task.nodeId === "" && isPending(task) && isWanted(task));
  return { slots: slots.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1)), retire, unbound };
}

const isDown = ({ node }: NodeView): boolean => node.state === NodeState.DOWN;

function emptySlot(ref: SlotRef): Slot {
  return { ...ref, pending: [], active: [], stopping: [], ended: [] };
}
