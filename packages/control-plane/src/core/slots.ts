import { DesiredState, type Task } from "@berth/proto";
import { byAge, isEnded, isPending, isWanted } from "./task-state.js";

/** Names a slot: a number of a replicated service, or a node of a global one. */
export interface SlotRef {
  /** 0 for a global service. */
  readonly number: number;
  /** The node that the slot is bound to; empty for a replicated service. */
  readonly nodeId: string;
}

/** The tasks of one slot by what they are to the service, each list newest first. */
export interface Slot extends SlotRef {
  /** NEW: wanted, without a node. */
  readonly pending: readonly Task[];
  /** Wanted, on a node, not ended. Two while a start-first replacement is on. */
  readonly active: readonly Task[];
  /** Told to stop and not yet said to have ended. */
  readonly stopping: readonly Task[];
  /** Ended and kept for their history. */
  readonly ended: readonly Task[];
}

/** Slots that are in use come first to mind, but a slot may also hold nothing but tasks that are being removed. */
export function isInUse(slot: Slot): boolean {
  return (
    slot.active.length > 0 ||
    slot.pending.length > 0 ||
    slot.ended.length > 0 ||
    slot.stopping.some((task) => task.desiredState < DesiredState.REMOVE)
  );
}

interface MutableSlot extends Slot {
  readonly pending: Task[];
  readonly active: Task[];
  readonly stopping: Task[];
  readonly ended: Task[];
}

/** Groups tasks by slot number, smallest first. */
export function slotsByNumber(tasks: readonly Task[]): readonly Slot[] {
  const slots = group(tasks, (task) => ({ number: task.slot, nodeId: "" }));
  return slots.sort((a, b) => a.number - b.number);
}

/** Groups tasks that have a node by that node, in order of its id. */
export function slotsByNode(tasks: readonly Task[]): readonly Slot[] {
  const placed = tasks.filter((task) => task.nodeId !== "");
  const slots = group(placed, (task) => ({ number: 0, nodeId: task.nodeId }));
  return slots.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
}

function group(tasks: readonly Task[], refOf: (task: Task) => SlotRef): MutableSlot[] {
  const slots = new Map<string | number, MutableSlot>();
  for (const task of tasks) {
    const ref = refOf(task);
    const key = ref.nodeId === "" ? ref.number : ref.nodeId;
    let slot = slots.get(key);
    if (slot === undefined) {
      slot = { ...ref, pending: [], active: [], stopping: [], ended: [] };
      slots.set(key, slot);
    }
    listFor(slot, task)?.push(task);
  }
  const grouped = [...slots.values()];
  for (const slot of grouped) sortLists(slot);
  return grouped;
}

/** Where a task belongs in its slot; ended ones that are to be removed belong nowhere any more. */
function listFor(slot: MutableSlot, task: Task): Task[] | undefined {
  if (isEnded(task)) return task.desiredState < DesiredState.REMOVE ? slot.ended : undefined;
  if (!isWanted(task)) return slot.stopping;
  return isPending(task) ? slot.pending : slot.active;
}

function sortLists(slot: MutableSlot): void {
  for (const list of [slot.pending, slot.active, slot.stopping, slot.ended]) {
    if (list.length > 1) list.sort(byAge);
  }
}
