import type { ServiceSpec, Task } from "@berth/proto";
import { type Before, dropFirst, heapify, reorderFirst } from "./heap.js";
import { isInUse, type Slot, type SlotRef, slotsByNumber } from "./slots.js";
import { runsWell } from "./task-state.js";
import type { CurrentTest } from "./template.js";
import type { Wanted } from "./wanted.js";

/** Replicas that a spec of a replicated service asks for; 1 when it does not say. */
export function replicasOf({ mode }: ServiceSpec): number {
  return mode?.$case === "replicated" ? mode.value.replicas : 1;
}

/** Makes the number of slots in use that of the replicas. */
export function wantedReplicas(
  tasks: readonly Task[],
  { replicas, isCurrent }: { readonly replicas: number; readonly isCurrent: CurrentTest },
): Wanted {
  const slots = slotsByNumber(tasks);
  const used = slots.filter(isInUse);
  if (used.length <= replicas) {
    return { keep: used, retire: [], fresh: freshSlots(slots, replicas - used.length), unbound: [] };
  }
  const retire = new Set(leastWorthKeeping(used, used.length - replicas, isCurrent));
  return {
    keep: used.filter((slot) => !retire.has(slot)),
    retire: [...retire],
    fresh: [],
    unbound: [],
  };
}

/** The lowest numbers that nothing uses. A number whose former task has not stopped yet is not free. */
function freshSlots(slots: readonly Slot[], count: number): readonly SlotRef[] {
  const taken = new Set(
    slots.filter((slot) => isInUse(slot) || slot.stopping.length > 0).map((slot) => slot.number),
  );
  const fresh: SlotRef[] = [];
  for (let number = 1; fresh.length < count; number += 1) {
    if (!taken.has(number)) fresh.push({ number, nodeId: "" });
  }
  return fresh;
}

/**
 * The inverse of growing: first slots that run nothing, then those that do not run well, then outdated ones; among
 * equals those of the node with the most tasks of the service, and of these the highest number.
 */
function leastWorthKeeping(slots: readonly Slot[], count: number, isCurrent: CurrentTest): readonly Slot[] {
  const classes: Slot[][] = [[], [], [], []];
  for (const slot of slots) classes[worth(slot, isCurrent)]?.push(slot);
  const chosen: Slot[] = [];
  const staying = new Set(slots);
  for (const equals of classes) {
    const missing = count - chosen.length;
    const victims = equals.length <= missing ? equals : fromFullestNodes(equals, missing, staying);
    for (const slot of victims) {
      chosen.push(slot);
      staying.delete(slot);
    }
  }
  return chosen;
}

function worth(slot: Slot, isCurrent: CurrentTest): number {
  if (slot.active.length === 0) return 0;
  if (!slot.active.some(runsWell)) return 1;
  return slot.active.some(isCurrent) ? 3 : 2;
}

/** Slots of one node that may go, the highest number last, and how many of the service the node has. */
interface NodeShare {
  readonly removable: Slot[];
  count: number;
}

function fromFullestNodes(
  equals: readonly Slot[],
  count: number,
  staying: ReadonlySet<Slot>,
): readonly Slot[] {
  const shares = new Map<string, NodeShare>();
  const shareOf = (slot: Slot): NodeShare => {
    const nodeId = slot.active[0]?.nodeId ?? "";
    const known = shares.get(nodeId);
    if (known !== undefined) return known;
    const share = { removable: [], count: 0 };
    shares.set(nodeId, share);
    return share;
  };
  for (const slot of staying) shareOf(slot).count += 1;
  for (const slot of equals) shareOf(slot).removable.push(slot);

  const heap = [...shares.values()].filter((share) => share.removable.length > 0);
  heapify(heap, fuller);
  const chosen: Slot[] = [];
  while (chosen.length < count) {
    const fullest = heap[0];
    const slot = fullest?.removable.pop();
    if (fullest === undefined || slot === undefined) break;
    chosen.push(slot);
    fullest.count -= 1;
    if (fullest.removable.length > 0) reorderFirst(heap, fuller);
    else dropFirst(heap, fuller);
  }
  return chosen;
}

const fuller: Before<NodeShare> = (a, b) =>
  a.count !== b.count ? a.count > b.count : highestNumber(a) > highestNumber(b);

const highestNumber = (share: NodeShare): number => share.removable.at(-1)?.number ?? 0;
