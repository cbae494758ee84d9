import { DesiredState, type Task } from "@berth/proto";
import { byAge, isEnded, isPending, shouldRun } from "./task-state.js";

/** Identifies a slot: by number in a replicated service, by node in a global one. */
export interface SlotRef {
  /** 0 in a global service. */
  readonly number: number;
  /** ID of the node in a global service. Empty in a replicated service. */
  readonly nodeId: string;
}

/** The tasks of one slot, grouped by desired and observed state. Each list is sorted by age, the newest first. */
export interface Slot extends SlotRef {
  /** Tasks that should run and have no node. */
  readonly pending: readonly Task[];
  /** Tasks that should run, have a node and have not ended. A slot has two during a start-first replacement. */
  readonly active: readonly Task[];
  /** Tasks that are to stop and have not ended. */
  readonly stopping: readonly Task[];
  /** Ended tasks, kept as history. */
  readonly ended: readonly Task[];
}

/** Returns whether a slot has tasks other than those being removed. */
export function isInUse(slot: Slot): boolean {
  return (
    slot.active.length > 0 ||
    slot.pending.length > 0 ||
    slot.ended.length > 0 ||
    slot.stopping.some((task) => task.desiredState < DesiredState.REMOVE)
  );
}

/** Returns the key that identifies a slot within its service: its number, or its node's ID. */
export function slotKey(slot: SlotRef): string {
  return slot.nodeId === "" ? String(slot.number) : slot.nodeId;
}

/** Returns the key of the slot that a task belongs to (see `slotKey`). */
export function taskSlotKey(task: Task): string {
  return task.slot === 0 ? task.nodeId : String(task.slot);
}

/** Returns a slot's name in messages: `slot 3`, or `node n1` in a global service. */
export function slotName(slot: SlotRef): string {
  return slot.nodeId === "" ? `slot ${slot.number}` : `node ${slot.nodeId}`;
}

/** Groups tasks by slot number, in ascending order. */
export function slotsByNumber(tasks: readonly Task[]): readonly Slot[] {
  const slots = new Map<number, SlotBuilder>();
  for (const task of tasks) {
    let slot = slots.get(task.slot);
    if (slot === undefined) {
      slot = emptySlot(task.slot, "");
      slots.set(task.slot, slot);
    }
    addTask(slot, task);
  }
  return [...slots.values()].sort((a, b) => a.number - b.number);
}

/** Groups tasks by node, in order of node IDs. Tasks without a node are left out. */
export function slotsByNode(tasks: readonly Task[]): readonly Slot[] {
  const slots = new Map<string, SlotBuilder>();
  for (const task of tasks) {
    if (task.nodeId === "") continue;
    let slot = slots.get(task.nodeId);
    if (slot === undefined) {
      slot = emptySlot(0, task.nodeId);
      slots.set(task.nodeId, slot);
    }
    addTask(slot, task);
  }
  return [...slots.values()].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
}

/** Shared empty list. Most lists are empty, and a service may have 100,000 slots. */
const NO_TASKS: readonly Task[] = [];

interface SlotBuilder extends SlotRef {
  pending: readonly Task[];
  active: readonly Task[];
  stopping: readonly Task[];
  ended: readonly Task[];
}

function emptySlot(number: number, nodeId: string): SlotBuilder {
  return {
    number,
    nodeId,
    pending: NO_TASKS,
    active: NO_TASKS,
    stopping: NO_TASKS,
    ended: NO_TASKS,
  };
}

/** Adds a task to its slot, except for an ended task that is to be removed. */
function addTask(slot: SlotBuilder, task: Task): void {
  if (isEnded(task)) {
    if (task.desiredState < DesiredState.REMOVE) slot.ended = insertByAge(slot.ended, task);
  } else if (!shouldRun(task)) {
    slot.stopping = insertByAge(slot.stopping, task);
  } else if (isPending(task)) {
    slot.pending = insertByAge(slot.pending, task);
  } else {
    slot.active = insertByAge(slot.active, task);
  }
}

/** Returns a sorted copy with the task. Copies are cheap, because the history limit keeps the lists short. */
function insertByAge(list: readonly Task[], task: Task): readonly Task[] {
  return list.length === 0 ? [task] : [...list, task].sort(byAge);
}
