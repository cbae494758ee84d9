import { assertNever, type Task } from "@berth/proto";
import type { SlotFill } from "../scheduler/place-tasks.js";
import type { SlotDecision } from "./slot-state.js";
import { preferredNodeOf } from "./slots/leaving.js";

/** What becomes of a slot in this plan. */
export type Move =
  | { readonly kind: "none" }
  | { readonly kind: "stay"; readonly task: Task }
  | { readonly kind: "seat"; readonly task: Task }
  | { readonly kind: "fill"; readonly fill: SlotFill; readonly version: number }
  | { readonly kind: "clear"; readonly tasks: readonly Task[]; readonly reason: string };

export interface Permission {
  /** The slot may be replaced now. */
  readonly chosen: boolean;
  readonly startFirst: boolean;
  /** The rollout has counted it as failed. */
  readonly hasFailed: boolean;
}

/**
 * A slot that looks for a node for its new task stays nowhere, though its old task still runs: spreading is to look
 * at where tasks will be, not where they were.
 */
export function moveOf(decision: SlotDecision, { chosen, startFirst, hasFailed }: Permission): Move {
  const { slot, step, superfluous, version } = decision;
  const fill = (restarts: number): Move => {
    const preferredNodeId = preferredNodeOf(slot);
    const { number, nodeId } = slot;
    const made = { number, nodeId, restarts, ...(preferredNodeId === undefined ? {} : { preferredNodeId }) };
    return { kind: "fill", fill: made, version };
  };
  switch (step.kind) {
    case "fill":
      return fill(step.restarts);
    case "pending":
      return hasFailed && slot.active.length > 0 ? giveUp([step.task]) : { kind: "seat", task: step.task };
    case "replace": {
      if (!chosen) return stay(slot.active, superfluous);
      if (!startFirst) return { kind: "clear", tasks: slot.active, reason: REPLACED[step.because] };
      return fill(step.trial.kind === "retry" ? step.trial.restarts : 0);
    }
    case "unready":
      return hasFailed && slot.active.length > 1 ? giveUp([step.task]) : stay(slot.active, superfluous);
    case "settled":
    case "proving":
      return stay(slot.active, superfluous);
    case "wait":
    case "given-up":
      return NOTHING;
    default:
      return assertNever(step);
  }
}

const NOTHING: Move = { kind: "none" };

const REPLACED = {
  outdated: "a newer version replaces it",
  drained: "its node is drained",
  moved: "it moves to a node with fewer tasks",
} as const;

/** The old task of the slot still runs, so that it is better off without a new one that does not. */
const giveUp = (tasks: readonly Task[]): Move => ({
  kind: "clear",
  tasks,
  reason: "it did not come to run well beside the task that it was to replace",
});

function stay(active: readonly Task[], superfluous: readonly Task[]): Move {
  const task = active.find((one) => !superfluous.includes(one));
  return task === undefined ? NOTHING : { kind: "stay", task };
}
