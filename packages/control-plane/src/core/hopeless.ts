import type { SlotDecision } from "./slot-step.js";
import { DEFAULT_PROGRESS_DEADLINE_MS } from "./update-policy.js";

/** With the pauses between them, about two minutes of failures in a row. */
const HOPELESS_RESTARTS = 8;

/**
 * Whether a slot has not come to run well for so long that nothing else should wait for it: a service of which one
 * replica can never run must not keep a node from being drained.
 */
export function hasGivenUpHope(
  { slot, step }: SlotDecision,
  { deadlineMs, now }: { readonly deadlineMs: number; readonly now: number },
): boolean {
  switch (step.kind) {
    case "given-up":
      return true;
    case "unready":
    case "pending":
      return (
        step.task.restarts >= HOPELESS_RESTARTS || hopelessAtMs(step.task.createdAtMs, deadlineMs) <= now
      );
    case "wait":
    case "fill":
      return slot.stopping.length === 0 && (slot.ended[0]?.restarts ?? 0) >= HOPELESS_RESTARTS;
    default:
      return false;
  }
}

const hopelessAtMs = (createdAtMs: number, deadlineMs: number): number =>
  createdAtMs + (Number.isFinite(deadlineMs) ? deadlineMs : DEFAULT_PROGRESS_DEADLINE_MS);
