import { assertNever, DesiredState, type Service, type Task } from "@berth/proto";
import { type Batch, nextBatch } from "./batch.js";
import { dismiss } from "./departures.js";
import { wishOf } from "./leaving.js";
import type { ClusterView, ServiceView } from "./model.js";
import type { Action } from "./plan.js";
import { type Problem, problemOf } from "./problems.js";
import { stepRollout } from "./rollout.js";
import { type Progress, progressOf } from "./rollout-progress.js";
import { isOn, isPaused } from "./rollout-record.js";
import type { Fill, Seats } from "./seating.js";
import { decideSlot, type SlotDecision, type SlotStep } from "./slot-step.js";
import { slotKey } from "./slots.js";
import { currentTest } from "./template.js";
import type { UpdatePolicy } from "./update-policy.js";
import type { Wanted } from "./wanted.js";

/** What is to happen in the slots that a service keeps. */
export type Decisions =
  | ({ readonly kind: "steps" } & Steps)
  /** The service itself becomes another: its slots are decided anew. */
  | { readonly kind: "turn"; readonly service: Service; readonly reason: string };

export interface Steps {
  /** By the version of the tasks that are made. */
  readonly seats: ReadonlyMap<number, Seats>;
  readonly departures: readonly Action[];
  /** The tasks that stay where they are, one for each slot that has one. */
  readonly staying: readonly Task[];
  /** Times at which something may be decided that cannot be now. */
  readonly dueMs: readonly number[];
  readonly problems: readonly Problem[];
}

export interface DecideContext {
  readonly cluster: ClusterView;
  readonly policy: UpdatePolicy;
  readonly now: number;
  readonly inChargeSinceMs: number;
}

/** Asks each slot what it needs, and the rollout what may be replaced now. */
export function decide(view: ServiceView, wanted: Wanted, context: DecideContext): Decisions {
  const { service } = view;
  const { now, policy, inChargeSinceMs } = context;
  const rollout = isOn(service.rollout) ? service.rollout : undefined;
  const decisions = decideSlots(view, wanted, context);
  const progress = progressOf(decisions, { policy, now, inChargeSinceMs, ...(rollout ? { rollout } : {}) });
  const total = wanted.keep.length + wanted.fresh.length;
  const isComplete = !progress.hasUnborn && runsCurrentAlone(service, wanted);
  const step = stepRollout(view, { policy, progress, total, isComplete, now });
  if (step.kind === "turn") return step;
  const batch = nextBatch(decisions, { policy, progress, isOn: rollout !== undefined, now });
  const steps = stepsOf({ view, wanted, decisions, batch, progress, context });
  const after = begun(step.service ?? service, batch, now);
  const update: readonly Action[] =
    after === service
      ? []
      : [{ kind: "update-service", service: after, reason: step.reason || "the next batch begins" }];
  return {
    kind: "steps",
    ...steps,
    departures: [...update, ...steps.departures],
    dueMs: [...steps.dueMs, ...step.dueMs, ...batch.dueMs],
  };
}

function decideSlots(
  { service, spec }: ServiceView,
  wanted: Wanted,
  { cluster, policy, now }: DecideContext,
): readonly SlotDecision[] {
  const isFrozen = isPaused(service.rollout);
  const context = {
    spec,
    version: service.version,
    isCurrent: isFrozen ? () => true : currentTest(service),
    isFrozen,
    startFirst: policy.startFirst,
    monitorMs: policy.monitorMs,
    nodes: cluster.nodes,
    now,
  };
  return wanted.keep.map((slot) => decideSlot(slot, context));
}

/** Nothing is missing, and nothing outdated is left to be replaced (a paused rollout would leave it). */
function runsCurrentAlone(service: Service, { keep, fresh, unbound }: Wanted): boolean {
  if (fresh.length > 0 || unbound.length > 0) return false;
  const isCurrent = currentTest(service);
  return keep.every(({ active, pending }) => pending.length === 0 && active.every(isCurrent));
}

/** A batch that begins is progress: the deadline counts from there. */
function begun(service: Service, { isNext }: Batch, now: number): Service {
  const { rollout } = service;
  if (!isNext || rollout === undefined || !isOn(rollout) || rollout.progressedAtMs === now) return service;
  return { ...service, rollout: { ...rollout, progressedAtMs: now } };
}

interface StepsInput {
  readonly view: ServiceView;
  readonly wanted: Wanted;
  readonly decisions: readonly SlotDecision[];
  readonly batch: Batch;
  readonly progress: Progress;
  readonly context: DecideContext;
}

function stepsOf({ view, wanted, decisions, batch, progress, context }: StepsInput): Steps {
  const { version } = view.service;
  const { policy, cluster } = context;
  const hasFailed = ({ slot }: SlotDecision): boolean =>
    isOn(view.service.rollout) && progress.failed.has(slotKey(slot));
  const moves = decisions.map((decision) =>
    moveOf(decision, {
      chosen: batch.chosen.has(decision),
      startFirst: policy.startFirst,
      hasFailed: hasFailed(decision),
    }),
  );
  const stop = (tasks: readonly Task[], reason: string): readonly Action[] =>
    tasks.flatMap((task) => dismiss(task, { desired: DesiredState.SHUTDOWN, reason, nodes: cluster.nodes }));
  const stale = wanted.unbound.filter((task) => task.specVersion !== version);
  const waiting = wanted.unbound.filter((task) => task.specVersion === version);
  return {
    seats: seatsOf(moves, { version, waiting, fresh: wanted.fresh.map((ref) => ({ ref, restarts: 0 })) }),
    departures: [
      ...stop(stale, "its spec has changed"),
      ...decisions.flatMap(({ superfluous }) => stop(superfluous, "another takes its place")),
      ...moves.flatMap((move) => (move.kind === "clear" ? stop(move.tasks, move.reason) : [])),
    ],
    staying: moves.flatMap((move) => (move.kind === "stay" ? [move.task] : [])),
    dueMs: decisions.flatMap(({ step }) => dueOf(step)),
    problems: [
      ...rolloutProblem(view.service),
      ...batch.heldBy.map((why) => ({ why })),
      ...decisions.flatMap(({ slot, step }) => problemOf(slot, step)),
    ],
  };
}

/** A failed rollout is the first thing to know of a service. */
const rolloutProblem = ({ rollout }: Service): readonly Problem[] =>
  rollout !== undefined && isPaused(rollout) ? [{ why: rollout.message }] : [];

/** Tasks of one version are equal to placement; those of the newest version come first. */
function seatsOf(
  moves: readonly Move[],
  {
    version,
    waiting,
    fresh,
  }: { readonly version: number; readonly waiting: readonly Task[]; readonly fresh: readonly Fill[] },
): ReadonlyMap<number, Seats> {
  const seats = new Map([[version, { pending: [] as Task[], fills: [] as Fill[] }]]);
  const of = (version: number): { pending: Task[]; fills: Fill[] } => {
    const known = seats.get(version) ?? { pending: [], fills: [] };
    seats.set(version, known);
    return known;
  };
  for (const move of moves) {
    if (move.kind === "seat") of(move.task.specVersion).pending.push(move.task);
    if (move.kind === "fill") of(move.version).fills.push(move.fill);
  }
  of(version).pending.push(...waiting);
  of(version).fills.push(...fresh);
  return seats;
}

/** What becomes of a slot in this plan. */
type Move =
  | { readonly kind: "none" }
  | { readonly kind: "stay"; readonly task: Task }
  | { readonly kind: "seat"; readonly task: Task }
  | { readonly kind: "fill"; readonly fill: Fill; readonly version: number }
  | { readonly kind: "clear"; readonly tasks: readonly Task[]; readonly reason: string };

interface Permission {
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
function moveOf(decision: SlotDecision, { chosen, startFirst, hasFailed }: Permission): Move {
  const { slot, step, superfluous, version } = decision;
  const wish = wishOf(slot);
  const fill = (restarts: number): Move => ({
    kind: "fill",
    fill: { ref: slot, restarts, ...(wish === undefined ? {} : { wish }) },
    version,
  });
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
      return { kind: "none" };
    default:
      return assertNever(step);
  }
}

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
  return task === undefined ? { kind: "none" } : { kind: "stay", task };
}

function dueOf(step: SlotStep): readonly number[] {
  if (step.kind === "proving") return [step.atMs];
  if (step.kind === "wait") return step.atMs === undefined ? [] : [step.atMs];
  if (step.kind !== "replace" || step.trial.kind !== "held") return [];
  return step.trial.atMs === undefined ? [] : [step.trial.atMs];
}
