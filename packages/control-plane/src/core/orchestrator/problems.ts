import { type SlotRef, slotName } from "../model/slots.js";

/** A reason why a service is not in its desired state. */
export interface Problem {
  readonly reason: string;
  /** The slot with the problem. Undefined if the problem concerns the service as a whole. */
  readonly slot?: SlotRef;
}

/** Returns one line per reason, with the name of its slot or the number of its slots. */
export function problemLines(problems: readonly Problem[]): readonly string[] {
  const slotsByReason = new Map<string, SlotRef[]>();
  for (const { reason, slot } of problems) {
    const slots = slotsByReason.get(reason) ?? [];
    if (slot !== undefined) slots.push(slot);
    slotsByReason.set(reason, slots);
  }
  return [...slotsByReason].map(([reason, slots]) => {
    const [first] = slots;
    if (first === undefined) return reason;
    return slots.length === 1 ? `${slotName(first)}: ${reason}` : `${slots.length} slots: ${reason}`;
  });
}
