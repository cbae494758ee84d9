import type { Rollout, Task } from "@berth/proto";
import { slotKey } from "../model/slots.js";
import { slotName } from "./problems.js";
import { failureOf, standingOf, underwayReason } from "./rollout/standing.js";
import type { SlotDecision } from "./slot-state.js";
import type { UpdatePolicy } from "./update-policy.js";

/** How a rollout stands by the records, and what they say of its slots. */
export interface Progress {
  /** Slots that something is being done about, those that failed among them. */
  readonly touched: ReadonlySet<SlotDecision>;
  /** Slots that run well what they should. */
  readonly done: number;
  /** Keys of slots that failed, now or before. */
  readonly failed: ReadonlySet<string>;
  readonly failedCount: number;
  /** Why the last of them did, for a person; empty when none failed anew. */
  readonly failure: string;
  /** When the last slot that is watched will count. */
  readonly watchedUntilMs: number | undefined;
  /** When the last slot began to count; 0: none did since the rollout began. */
  readonly newestSuccessMs: number;
  readonly hasUntouched: boolean;
  readonly hasUnborn: boolean;
  /** Slots that have neither failed nor got anywhere yet, the first one. */
  readonly underway: SlotDecision | undefined;
  /** When the slots under way are given up. */
  readonly deadlineMs: number | undefined;
}

export interface ProgressContext {
  readonly policy: UpdatePolicy;
  readonly now: number;
  /** No deadline counts from before. */
  readonly leaderSinceMs: number;
  /** The rollout that is on. */
  readonly rollout?: Rollout;
}

/** Looks at every slot once. A slot that failed stays so until the rollout ends, however it fares later. */
export function progressOf(decisions: readonly SlotDecision[], context: ProgressContext): Progress {
  const tally = new Tally(context);
  for (const decision of decisions) tally.add(decision);
  return tally.progress();
}

class Tally {
  readonly #context: ProgressContext;
  readonly #touched = new Set<SlotDecision>();
  readonly #failed: Set<string>;
  readonly #underway: SlotDecision[] = [];
  #failure = "";
  #done = 0;
  #watchedUntilMs: number | undefined;
  #newestSuccessMs = 0;
  #hasUntouched = false;
  #hasUnborn = false;

  constructor(context: ProgressContext) {
    this.#context = context;
    this.#failed = new Set(context.rollout?.failedSlots);
  }

  add(decision: SlotDecision): void {
    const { policy, now } = this.#context;
    const standing = standingOf(decision, { monitorMs: policy.monitorMs, now });
    const hasFailed = this.#noteFailure(decision);
    switch (standing.kind) {
      case "unborn":
        this.#hasUnborn = true;
        return;
      case "untouched":
        this.#hasUntouched ||= !hasFailed;
        return;
      case "underway":
        this.#touched.add(decision);
        if (!hasFailed) this.#underway.push(decision);
        return;
      case "watched":
        if (!hasFailed) this.#watchedUntilMs = Math.max(this.#watchedUntilMs ?? 0, standing.atMs);
        return;
      case "good":
        this.#done += 1;
        if (!hasFailed && this.#isNew(decision)) {
          this.#newestSuccessMs = Math.max(this.#newestSuccessMs, standing.sinceMs);
        }
    }
  }

  progress(): Progress {
    const deadlineMs = this.#applyDeadline();
    return {
      touched: this.#touched,
      done: this.#done,
      failed: this.#failed,
      // The record names only so many of them.
      failedCount: Math.max(this.#failed.size, this.#context.rollout?.failedCount ?? 0),
      failure: this.#failure,
      watchedUntilMs: this.#watchedUntilMs,
      newestSuccessMs: this.#newestSuccessMs,
      hasUntouched: this.#hasUntouched,
      hasUnborn: this.#hasUnborn,
      underway: this.#underway[0],
      deadlineMs,
    };
  }

  #noteFailure({ slot }: SlotDecision): boolean {
    const { rollout, policy } = this.#context;
    if (rollout === undefined || (this.#failed.size === 0 && slot.ended.length === 0)) return false;
    if (this.#failed.has(slotKey(slot))) return true;
    const failure = failureOf(slot, { sinceVersion: rollout.fromVersion + 1, policy });
    if (failure !== undefined) this.#fail(slotKey(slot), `${slotName(slot)}: ${endText(failure)}`);
    return failure !== undefined;
  }

  #fail(key: string, why: string): void {
    this.#failed.add(key);
    if (this.#failure === "") this.#failure = why;
  }

  /** Gives up what is under way once nothing has got further for too long; says until when it is waited for. */
  #applyDeadline(): number | undefined {
    const { rollout, policy, now, leaderSinceMs: inChargeSinceMs } = this.#context;
    const [first] = this.#underway;
    if (rollout === undefined || first === undefined || this.#done > rollout.updatedSlots) return undefined;
    const deadlineMs = Math.max(rollout.progressedAtMs, inChargeSinceMs) + policy.progressDeadlineMs;
    if (deadlineMs > now) return Number.isFinite(deadlineMs) ? deadlineMs : undefined;
    const waited = durationText(policy.progressDeadlineMs);
    for (const { slot } of this.#underway) this.#failed.add(slotKey(slot));
    this.#failure ||= `no progress for ${waited}: ${underwayReason(first)}`;
    this.#underway.length = 0;
    return undefined;
  }

  #isNew({ step }: SlotDecision): boolean {
    const { rollout } = this.#context;
    if (step.kind !== "settled" || step.task === undefined || rollout === undefined) return false;
    return step.task.specVersion > rollout.fromVersion;
  }
}

function endText({ status }: Task): string {
  if (status?.message) return status.message;
  return status?.exitCode === undefined ? "its new task ended" : `exit code ${status.exitCode}`;
}

function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds % 60 === 0 && seconds > 0 ? `${seconds / 60} min` : `${seconds} s`;
}
