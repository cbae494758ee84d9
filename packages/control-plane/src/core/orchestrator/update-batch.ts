import { slotKey, slotName } from "../model/slots.js";
import { isReady } from "../model/task-state.js";
import type { RolloutProgress } from "./rollout-progress.js";
import type { SlotState } from "./slot-state.js";
import type { UpdatePolicy } from "./update-policy.js";

/** The slots whose outdated or leaving task is replaced in this plan. */
export interface UpdateBatch {
  readonly chosen: ReadonlySet<SlotState>;
  /** Whether the batch contains outdated slots that the rollout had not reached before. */
  readonly isNext: boolean;
  /** Times of the next decision, if only time holds slots back. */
  readonly dueTimesMs: readonly number[];
  /** Reasons that hold slots back, for users. */
  readonly heldBy: readonly string[];
}

export interface BatchContext {
  readonly policy: UpdatePolicy;
  readonly progress: RolloutProgress;
  /** Whether a rollout is active. Otherwise its failures and pauses do not count. */
  readonly isActive: boolean;
  readonly nowMs: number;
}

/**
 * Selects the next batch.
 *
 * At most `parallelism` slots are between two tasks at a time, because of an update, a drained node or a retried
 * replacement. Slots on drained nodes come first and only wait for busy slots. Outdated slots also wait until the last
 * batch counts as updated and the pause after it is over.
 */
export function nextBatch(states: readonly SlotState[], context: BatchContext): UpdateBatch {
  const { policy } = context;
  const { retries, leaving, outdated } = groupCandidates(states, context);
  const busy = states.filter((state) => isBusy(state, context));
  const budget = policy.parallelism - busy.length;
  const urgent = take([...retries, ...leaving], budget);
  const start = urgent.length > 0 || busy.length > 0 ? NOT_ALLOWED : decideUpdateStart(context);
  const mayUpdate = start.isAllowed || policy.parallelism === Number.POSITIVE_INFINITY;
  const updates = mayUpdate ? take(unreadyFirst(outdated), budget - urgent.length) : [];
  const isUpdateHeld = updates.length === 0 && outdated.length > 0;
  const isHeldByBusySlots = busy.length > 0 && leaving.length + outdated.length > 0;
  return {
    chosen: new Set([...urgent, ...updates]),
    isNext: updates.length > 0,
    dueTimesMs: [
      ...(isUpdateHeld ? start.dueTimesMs : []),
      ...(isHeldByBusySlots ? giveUpTimes(busy, context) : []),
    ],
    heldBy: [
      ...busyReasons(busy, { isDrainHeld: urgent.length < leaving.length, isUpdateHeld }),
      ...(isUpdateHeld ? start.reasons : []),
    ],
  };
}

interface Candidates {
  readonly retries: readonly SlotState[];
  readonly leaving: readonly SlotState[];
  readonly outdated: readonly SlotState[];
}

/** Groups the slots to replace. A slot whose replacement failed keeps its task until the rollout ends. */
function groupCandidates(states: readonly SlotState[], { isActive, progress }: BatchContext): Candidates {
  const retries: SlotState[] = [];
  const leaving: SlotState[] = [];
  const outdated: SlotState[] = [];
  for (const state of states) {
    const { step, slot } = state;
    if (step.kind !== "replace" || step.attempt.kind === "held") continue;
    const isOutdated = step.cause === "outdated";
    if (isOutdated && isActive && progress.failed.has(slotKey(slot))) continue;
    if (step.attempt.kind === "retry") {
      retries.push(state);
    } else if (isOutdated) {
      outdated.push(state);
    } else {
      leaving.push(state);
    }
  }
  return { retries, leaving, outdated };
}

/** Returns whether a slot is between two tasks. A failed slot only holds others back while it has two tasks. */
function isBusy(state: SlotState, { progress, isActive, nowMs }: BatchContext): boolean {
  const { slot, step } = state;
  if (slot.active.length + slot.stopping.length > 1) return true;
  if (!progress.updating.has(state)) return false;
  if (step.kind === "replace" && step.attempt.kind !== "held") return false;
  if (isActive) return !progress.failed.has(slotKey(slot));
  return (state.giveUpAtMs ?? Number.POSITIVE_INFINITY) > nowMs;
}

/** Returns which busy slot holds drains or the update back, for users. Empty if no slot is busy. */
function busyReasons(
  [holder]: readonly SlotState[],
  { isDrainHeld, isUpdateHeld }: { readonly isDrainHeld: boolean; readonly isUpdateHeld: boolean },
): readonly string[] {
  if (holder === undefined) return [];
  const cause = `${slotName(holder.slot)}: ${holder.reason}`;
  return [
    ...(isDrainHeld ? [`the drain waits for ${cause}`] : []),
    ...(isUpdateHeld ? [`the update waits for ${cause}`] : []),
  ];
}

/** Returns when drains stop waiting for the busy slots. During a rollout, its deadline decides. */
function giveUpTimes(busy: readonly SlotState[], { isActive, nowMs }: BatchContext): readonly number[] {
  if (isActive) return [];
  return busy.flatMap(({ giveUpAtMs }) =>
    giveUpAtMs !== undefined && giveUpAtMs > nowMs ? [giveUpAtMs] : [],
  );
}

/** Whether the update may replace further outdated slots now, as far as its last batch is concerned. */
interface UpdateStart {
  readonly isAllowed: boolean;
  readonly dueTimesMs: readonly number[];
  readonly reasons: readonly string[];
}

const ALLOWED: UpdateStart = { isAllowed: true, dueTimesMs: [], reasons: [] };
const NOT_ALLOWED: UpdateStart = { isAllowed: false, dueTimesMs: [], reasons: [] };

function decideUpdateStart({ progress, policy, isActive, nowMs }: BatchContext): UpdateStart {
  if (isActive && progress.monitoredUntilMs !== undefined) {
    const reasons = ["the update monitors its new tasks"];
    return { isAllowed: false, dueTimesMs: [progress.monitoredUntilMs], reasons };
  }
  const { lastSuccessMs } = progress;
  const atMs = lastSuccessMs === 0 ? 0 : lastSuccessMs + policy.delayMs;
  if (policy.delayMs === 0 || atMs <= nowMs) return ALLOWED;
  return { isAllowed: false, dueTimesMs: [atMs], reasons: ["the update pauses between two batches"] };
}

function take(states: readonly SlotState[], count: number): readonly SlotState[] {
  return count === Number.POSITIVE_INFINITY ? states : states.slice(0, Math.max(0, count));
}

/** Sorts slots that do not serve first, because replacing them costs no availability. */
function unreadyFirst(states: readonly SlotState[]): readonly SlotState[] {
  const serves = ({ slot }: SlotState): boolean => slot.active.some(isReady);
  return [...states.filter((state) => !serves(state)), ...states.filter(serves)];
}
