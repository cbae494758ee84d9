import type { SlotDecision } from "../slot-state.js";
import { DEFAULT_PROGRESS_DEADLINE_MS } from "../update-policy.js";

/** With the pauses between them, about two minutes of failures in a row. */
const HOPELESS_RESTARTS = 8;

/**
 * From when on nothing waits for a slot any more: a service of which one replica can never run must not keep a node
 * from being drained. Undefined when that depends on more than time.
 */
export function hopelessAtMs(
  { slot, step }: SlotDecision,
  { deadlineMs, now }: { readonly deadlineMs: number; readonly now: number },
): number | undefined {
  switch (step.kind) {
    case "given-up":
      return now;
    case "unready":
    case "pending": {
      if (step.task.restarts >= HOPELESS_RESTARTS) return now;
      return (
        step.task.createdAtMs + (Number.isFinite(deadlineMs) ? deadlineMs : DEFAULT_PROGRESS_DEADLINE_MS)
      );
    }
    case "wait":
    case "fill":
      return slot.stopping.length === 0 && (slot.ended[0]?.restarts ?? 0) >= HOPELESS_RESTARTS
        ? now
        : undefined;
    default:
      return undefined;
  }
}
