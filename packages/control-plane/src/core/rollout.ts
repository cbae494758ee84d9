import { type ServiceSpec, type Task, TaskState, UpdateConfig_Order } from "@berth/proto";
import { slotName } from "./problems.js";
import type { SlotDecision } from "./slot-step.js";
import { runsWell, stateOf } from "./task-state.js";

/** Slots replaced at once when the spec does not say. */
const DEFAULT_PARALLELISM = 1;

/** Which of the slots that run something outdated (or on a drained node) are replaced now. */
export interface Batch {
  readonly decisions: readonly SlotDecision[];
  /** When the pause between batches ends, if that is what holds the next one back. */
  readonly atMs?: number;
  /** What holds the next batch back, for a person. */
  readonly heldBy?: string;
}

/**
 * Whether a slot's new task is started before its old one is stopped. Stop-first unless asked for: two tasks of one
 * slot at a time are for services that say they can bear it. A global task cannot share its host ports with itself.
 */
export function startsFirst(spec: ServiceSpec, claimsHostPorts: boolean): boolean {
  const asked = spec.update?.order === UpdateConfig_Order.START_FIRST;
  return asked && !(spec.mode?.$case === "global" && claimsHostPorts);
}

/**
 * Slots of drained nodes are replaced at once. Outdated ones go in batches of `parallelism`: the next batch begins
 * when every slot of the last one runs well and has done so for `delay`. A slot that never ran holds nothing up.
 *
 * This is the seam for rollouts that monitor, pause and roll back: they decide here what may go on.
 */
export function nextBatch(
  decisions: readonly SlotDecision[],
  { spec, templateVersion, now }: { spec: ServiceSpec; templateVersion: number; now: number },
): Batch {
  const drained = decisions.filter(({ step }) => step.kind === "replace" && step.because === "drained");
  const outdated = decisions.filter(({ step }) => step.kind === "replace" && step.because === "outdated");
  if (outdated.length === 0) return { decisions: drained };
  const parallelism = spec.update?.parallelism ?? DEFAULT_PARALLELISM;
  if (parallelism === 0) return { decisions: [...drained, ...outdated] };

  const underTrial = outdated.filter(({ step }) => step.kind === "replace" && step.trial.kind !== "none");
  const going = [...drained, ...underTrial];
  const holder = decisions.find((decision) => holdsUp(decision));
  if (holder !== undefined) return { decisions: going, heldBy: holdReason(holder) };
  const delayMs = spec.update?.delayMs ?? 0;
  const atMs = delayMs === 0 ? 0 : newestSuccess(decisions, templateVersion) + delayMs;
  if (atMs > now) return { decisions: going, atMs, heldBy: "the pause between two batches" };
  return { decisions: [...going, ...brokenFirst(outdated).slice(0, parallelism)] };
}

/** Whether the update touched this slot and has not brought it to run well. */
function holdsUp({ slot, step }: SlotDecision): boolean {
  switch (step.kind) {
    case "unready":
    case "wait":
    case "given-up":
      return true;
    case "pending":
    case "fill":
      return slot.ended.length + slot.active.length + slot.stopping.length > 0;
    case "replace":
      return step.trial.kind !== "none";
    default:
      return false;
  }
}

function holdReason({ slot, step }: SlotDecision): string {
  const name = slotName(slot);
  switch (step.kind) {
    case "unready":
    case "pending":
      return `${name} does not run yet${parenthesis(step.task.status?.message)}`;
    case "wait":
    case "given-up":
      return `${name} does not run${parenthesis(step.why)}`;
    case "replace":
      return `${name} runs no new task yet${step.trial.kind === "held" ? parenthesis(step.trial.why) : ""}`;
    default:
      return `${name} is being filled`;
  }
}

const parenthesis = (text: string | undefined): string => (text ? ` (${text})` : "");

/** When the last task of the new version began to run; 0 when none does. */
function newestSuccess(decisions: readonly SlotDecision[], templateVersion: number): number {
  let newest = 0;
  for (const { slot } of decisions) {
    for (const task of slot.active) {
      if (task.specVersion < templateVersion || stateOf(task) !== TaskState.RUNNING) continue;
      newest = Math.max(newest, task.status?.sinceMs ?? 0);
    }
  }
  return newest;
}

/** Slots that do not serve anyway cost nothing to replace. Otherwise in the given order. */
function brokenFirst(decisions: readonly SlotDecision[]): readonly SlotDecision[] {
  const serves = ({ slot }: SlotDecision): boolean => slot.active.some((task: Task) => runsWell(task));
  return [...decisions.filter((one) => !serves(one)), ...decisions.filter(serves)];
}
