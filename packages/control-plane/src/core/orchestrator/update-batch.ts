import { slotKey } from "../model/slots.js";
import { isReady } from "../model/task-state.js";
import { hopelessAtMs } from "./rollout/hopeless.js";
import { underwayReason } from "./rollout/standing.js";
import type { Progress } from "./rollout-progress.js";
import type { SlotDecision } from "./slot-state.js";
import type { UpdatePolicy } from "./update-policy.js";

/** Which of the slots that run something outdated, or are to leave their node, are replaced now. */
export interface Batch {
  readonly chosen: ReadonlySet<SlotDecision>;
  /** Whether slots are among them that the rollout had not touched before. */
  readonly isNext: boolean;
  /** When to look again, if time is what holds a slot back. */
  readonly dueMs: readonly number[];
  /** What holds slots back, for a person. */
  readonly heldBy: readonly string[];
}

export interface BatchContext {
  readonly policy: UpdatePolicy;
  readonly progress: Progress;
  /** A rollout is on: its failures and pauses count. */
  readonly isOn: boolean;
  readonly now: number;
}

/**
 * At most `parallelism` slots are between two tasks at a time, whatever the reason: the update, drained nodes, a
 * replacement that is tried again. Drained slots come first and wait for slots that are not well; outdated ones also
 * wait until the last batch counts and the pause after it is over.
 */
export function nextBatch(decisions: readonly SlotDecision[], context: BatchContext): Batch {
  const { policy } = context;
  const { retries, leaving, outdated } = candidatesOf(decisions, context);
  const busy = decisions.filter((decision) => isBusy(decision, context));
  const holder = busy[0];
  const budget = policy.parallelism - busy.length;
  const first = take([...retries, ...leaving], budget);
  const gate = first.length > 0 || holder !== undefined ? SHUT : gateOf(context);
  const open = gate.isOpen || policy.parallelism === Number.POSITIVE_INFINITY;
  const next = outdated.length > 0 && open ? take(brokenFirst(outdated), budget - first.length) : [];
  const waits = (list: readonly SlotDecision[]): boolean => list.length > 0 && holder !== undefined;
  const reason = holder === undefined ? "" : underwayReason(holder);
  return {
    chosen: new Set([...first, ...next]),
    isNext: next.length > 0,
    dueMs: [
      ...(next.length > 0 || outdated.length === 0 ? [] : gate.dueMs),
      ...(waits(leaving) || waits(outdated) ? hopeOf(busy, context) : []),
    ],
    heldBy: [
      ...(first.length < leaving.length && waits(leaving) ? [`draining its nodes waits: ${reason}`] : []),
      ...(next.length === 0 && waits(outdated) ? [`the update waits: ${reason}`] : []),
      ...(next.length === 0 && outdated.length > 0 ? gate.why : []),
    ],
  };
}

interface Candidates {
  readonly retries: readonly SlotDecision[];
  readonly leaving: readonly SlotDecision[];
  readonly outdated: readonly SlotDecision[];
}

/** A slot whose replacement failed keeps what it has until the rollout is over. */
function candidatesOf(decisions: readonly SlotDecision[], { isOn, progress }: BatchContext): Candidates {
  const retries: SlotDecision[] = [];
  const leaving: SlotDecision[] = [];
  const outdated: SlotDecision[] = [];
  for (const decision of decisions) {
    const { step, slot } = decision;
    if (step.kind !== "replace" || step.trial.kind === "held") continue;
    if (step.because === "outdated" && isOn && progress.failed.has(slotKey(slot))) continue;
    if (step.trial.kind === "retry") retries.push(decision);
    else (step.because === "outdated" ? outdated : leaving).push(decision);
  }
  return { retries, leaving, outdated };
}

/** Between two tasks. What has failed holds nobody up, unless it takes the room of two. */
function isBusy(decision: SlotDecision, { policy, progress, isOn, now }: BatchContext): boolean {
  const { slot, step } = decision;
  if (slot.active.length + slot.stopping.length > 1) return true;
  if (!progress.touched.has(decision)) return false;
  if (step.kind === "replace" && step.trial.kind !== "held") return false;
  if (isOn) return !progress.failed.has(slotKey(slot));
  return (
    (hopelessAtMs(decision, { deadlineMs: policy.progressDeadlineMs, now }) ?? Number.POSITIVE_INFINITY) > now
  );
}

/** When the next of the slots that hold others up is given up. Of a rollout that is on, its deadline says so. */
function hopeOf(busy: readonly SlotDecision[], { policy, isOn, now }: BatchContext): readonly number[] {
  if (isOn) return [];
  const deadlineMs = policy.progressDeadlineMs;
  return busy
    .flatMap((decision) => hopelessAtMs(decision, { deadlineMs, now }) ?? [])
    .filter((atMs) => atMs > now);
}

interface Gate {
  readonly isOpen: boolean;
  readonly dueMs: readonly number[];
  readonly why: readonly string[];
}

const OPEN: Gate = { isOpen: true, dueMs: [], why: [] };
const SHUT: Gate = { isOpen: false, dueMs: [], why: [] };

function gateOf({ progress, policy, isOn, now }: BatchContext): Gate {
  if (isOn && progress.watchedUntilMs !== undefined) {
    return {
      isOpen: false,
      dueMs: [progress.watchedUntilMs],
      why: ["the update watches whether its new tasks stay"],
    };
  }
  const { newestSuccessMs } = progress;
  const atMs = newestSuccessMs === 0 ? 0 : newestSuccessMs + policy.delayMs;
  if (policy.delayMs === 0 || atMs <= now) return OPEN;
  return { isOpen: false, dueMs: [atMs], why: ["the update waits for the pause between two batches"] };
}

const take = (decisions: readonly SlotDecision[], count: number): readonly SlotDecision[] =>
  count === Number.POSITIVE_INFINITY ? decisions : decisions.slice(0, Math.max(0, count));

/** Slots that do not serve anyway cost nothing to replace. Otherwise in the given order. */
function brokenFirst(decisions: readonly SlotDecision[]): readonly SlotDecision[] {
  const serves = ({ slot }: SlotDecision): boolean => slot.active.some(isReady);
  return [...decisions.filter((one) => !serves(one)), ...decisions.filter(serves)];
}
