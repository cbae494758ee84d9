import { DesiredState, type Task } from "@berth/proto";
import { byAge, isEnded, isPending, shouldRun } from "./task-state.js";

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

/** A slot that holds nothing but tasks that are being removed is not in use any more. */
export function isInUse(slot: Slot): boolean {
  return (
    slot.active.length > 0 ||
    slot.pending.length > 0 ||
    slot.ended.length > 0 ||
    slot.stopping.some((task) => task.desiredState < DesiredState.REMOVE)
  );
}

/** How records and people name a slot: its number, or the node of a global service. */
export const slotKey = (slot: SlotRef): string => (slot.nodeId === "" ? String(slot.number) : slot.nodeId);

/** Groups tasks by slot number, smallest first. */
export function slotsByNumber(tasks: readonly Task[]): readonly Slot[] {
  const slots = new Map<number, SlotBuilder>();
  for (const task of tasks) {
    let slot = slots.get(task.slot);
    if (slot === undefined) {
      slot = emptySlot(task.slot, "");
      slots.set(task.slot, slot);
    }
    add(slot, task);
  }
  return [...slots.values()].sort((a, b) => a.number - b.number);
}

/** Groups tasks that have a node by that node, in order of its id. */
export function slotsByNode(tasks: readonly Task[]): readonly Slot[] {
  const slots = new Map<string, SlotBuilder>();
  for (const task of tasks) {
    if (task.nodeId === "") continue;
    let slot = slots.get(task.nodeId);
    if (slot === undefined) {
      slot = emptySlot(0, task.nodeId);
      slots.set(task.nodeId, slot);
    }
    add(slot, task);
  }
  return [...slots.values()].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
}

/** Most lists of most slots are empty, and a service may have a hundred thousand slots: they share this one. */
const NONE: readonly Task[] = [];

interface SlotBuilder extends SlotRef {
  pending: readonly Task[];
  active: readonly Task[];
  stopping: readonly Task[];
  ended: readonly Task[];
}

const emptySlot = (number: number, nodeId: string): SlotBuilder => ({
  number,
  nodeId,
  pending: NONE,
  active: NONE,
  stopping: NONE,
  ended: NONE,
});

/** Ended tasks that are to be removed belong to no slot any more. */
function add(slot: SlotBuilder, task: Task): void {
  if (isEnded(task)) {
    if (task.desiredState < DesiredState.REMOVE) slot.ended = appended(slot.ended, task);
  } else if (!shouldRun(task)) slot.stopping = appended(slot.stopping, task);
  else if (isPending(task)) slot.pending = appended(slot.pending, task);
  else slot.active = appended(slot.active, task);
}

/** Lists stay short (see the limit of the history), so copying them is cheap. */
const appended = (list: readonly Task[], task: Task): readonly Task[] =>
  list.length === 0 ? [task] : [...list, task].sort(byAge);
