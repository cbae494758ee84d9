import type { AutoscaleStatus, ServiceSpec, Task } from "@berth/proto";
import { isInUse, type Slot, type SlotRef, slotsByNumber } from "../model/slots.js";
import { isReady } from "../model/task-state.js";
import type { CurrentTest } from "../model/template.js";
import { type SpreadContext, selectSlotsToRemove } from "../scheduler/scale-down.js";
import { scaledReplicas } from "./autoscale.js";
import type { Wanted } from "./slots/wanted.js";

/** Replicas that a replicated service should have: what its spec says (1 when it does not), or what it is scaled to. */
export function replicasOf({ mode, autoscale }: ServiceSpec, scaled?: AutoscaleStatus): number {
  const replicas = mode?.$case === "replicated" ? mode.value.replicas : 1;
  return autoscale === undefined ? replicas : scaledReplicas(autoscale, scaled, replicas);
}

export interface WantedNumber extends SpreadContext {
  readonly replicas: number;
  readonly isCurrent: CurrentTest;
}

/** Makes the number of slots in use that of the replicas. */
export function wantedReplicas(
  tasks: readonly Task[],
  { replicas, isCurrent, ...fullness }: WantedNumber,
): Wanted {
  const slots = slotsByNumber(tasks);
  const used = slots.filter(isInUse);
  if (used.length <= replicas) {
    return { keep: used, retire: [], fresh: freshSlots(slots, replicas - used.length), unbound: [] };
  }
  const retire = new Set(leastWorthKeeping(used, used.length - replicas, { isCurrent, ...fullness }));
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
 * equals those that placement would have made last (see `fullestFirst`).
 */
function leastWorthKeeping(
  slots: readonly Slot[],
  count: number,
  { isCurrent, ...fullness }: Omit<WantedNumber, "replicas">,
): readonly Slot[] {
  const classes: Slot[][] = [[], [], [], []];
  for (const slot of slots) classes[worth(slot, isCurrent)]?.push(slot);
  const chosen: Slot[] = [];
  const staying = new Set(slots);
  for (const equals of classes) {
    const missing = count - chosen.length;
    const victims =
      equals.length <= missing ? equals : selectSlotsToRemove(equals, missing, { staying, ...fullness });
    for (const slot of victims) {
      chosen.push(slot);
      staying.delete(slot);
    }
  }
  return chosen;
}

function worth(slot: Slot, isCurrent: CurrentTest): number {
  if (slot.active.length === 0) return 0;
  if (!slot.active.some(isReady)) return 1;
  return slot.active.some(isCurrent) ? 3 : 2;
}
