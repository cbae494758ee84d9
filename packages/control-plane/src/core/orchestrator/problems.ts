import type { Slot } from "../model/slots.js";
import type { SlotStep } from "./slot-state.js";

/** Something that keeps a service from being what it should be. */
export interface Problem {
  readonly why: string;
  /** Absent: about the service as a whole. */
  readonly slot?: Slot;
}

export function problemOf(slot: Slot, step: SlotStep): readonly Problem[] {
  switch (step.kind) {
    case "wait":
    case "given-up":
      return [{ why: step.why, slot }];
    case "replace":
      return step.trial.kind === "held"
        ? [{ why: `its replacement is held up: ${step.trial.why}`, slot }]
        : [];
    default:
      return [];
  }
}

/** One line for each different problem, with the slots it is about counted or named. */
export function problemLines(problems: readonly Problem[]): readonly string[] {
  const slotsByWhy = new Map<string, Slot[]>();
  for (const { why, slot } of problems) {
    const slots = slotsByWhy.get(why) ?? [];
    if (slot !== undefined) slots.push(slot);
    slotsByWhy.set(why, slots);
  }
  return [...slotsByWhy].map(([why, slots]) => (slots.length === 0 ? why : `${slotsText(slots)}: ${why}`));
}

function slotsText(slots: readonly Slot[]): string {
  const [only] = slots;
  return slots.length === 1 && only !== undefined ? slotName(only) : `${slots.length} slots`;
}

/** `slot 3`, or `node n1` for a slot of a global service. */
export const slotName = (slot: Slot): string =>
  slot.nodeId === "" ? `slot ${slot.number}` : `node ${slot.nodeId}`;
