import { assertNever, DesiredState, type Task } from "@berth/proto";
import { dismiss } from "./departures.js";
import type { ClusterView, ServiceView } from "./model.js";
import type { Action } from "./plan.js";
import { type Problem, problemOf } from "./problems.js";
import { type Batch, nextBatch } from "./rollout.js";
import type { Fill, Seats } from "./seating.js";
import { decideSlot, type SlotDecision, type SlotStep } from "./slot-step.js";
import type { Wanted } from "./wanted.js";

/** What is to happen in the slots that a service keeps. */
export interface Decisions {
  readonly seats: Seats;
  readonly departures: readonly Action[];
  /** The tasks that stay where they are, one for each slot that has one. */
  readonly staying: readonly Task[];
  /** Times at which something may be decided that cannot be now. */
  readonly dueMs: readonly number[];
  readonly problems: readonly Problem[];
}

export interface DecideContext {
  readonly cluster: ClusterView;
  readonly startFirst: boolean;
  readonly now: number;
}

/** Asks each slot what it needs, and the rollout what may be replaced now. */
export function decide(view: ServiceView, wanted: Wanted, context: DecideContext): Decisions {
  const { service, spec } = view;
  const { version, templateVersion } = service;
  const { now, startFirst, cluster } = context;
  const slotContext = { spec, version, templateVersion, startFirst, nodes: cluster.nodes, now };
  const decisions = wanted.keep.map((slot) => decideSlot(slot, slotContext));
  const batch = nextBatch(decisions, { spec, templateVersion, now });
  const chosen = new Set(batch.decisions);
  const moves = decisions.map((decision) => moveOf(decision, { chosen: chosen.has(decision), startFirst }));
  const stop = (tasks: readonly Task[], reason: string): readonly Action[] =>
    tasks.flatMap((task) => dismiss(task, { desired: DesiredState.SHUTDOWN, reason, nodes: cluster.nodes }));
  const stale = wanted.unbound.filter((task) => task.specVersion !== version);
  const waiting = wanted.unbound.filter((task) => task.specVersion === version);
  return {
    seats: {
      pending: [...moves.flatMap((move) => (move.kind === "seat" ? [move.task] : [])), ...waiting],
      fills: [
        ...moves.flatMap((move) => (move.kind === "fill" ? [move.fill] : [])),
        ...wanted.fresh.map((ref) => ({ ref, restarts: 0 })),
      ],
    },
    departures: [
      ...stop(stale, "its spec has changed"),
      ...decisions.flatMap(({ superfluous }) => stop(superfluous, "another takes its place")),
      ...moves.flatMap((move) => (move.kind === "clear" ? stop(move.tasks, move.reason) : [])),
    ],
    staying: moves.flatMap((move) => (move.kind === "stay" ? [move.task] : [])),
    dueMs: [
      ...decisions.flatMap(({ step }) => dueOf(step)),
      ...(batch.atMs === undefined ? [] : [batch.atMs]),
    ],
    problems: [...updateProblem(batch), ...decisions.flatMap(({ slot, step }) => problemOf(slot, step))],
  };
}

/** What becomes of a slot in this plan. */
type Move =
  | { readonly kind: "none" }
  | { readonly kind: "stay"; readonly task: Task }
  | { readonly kind: "seat"; readonly task: Task }
  | { readonly kind: "fill"; readonly fill: Fill }
  | { readonly kind: "clear"; readonly tasks: readonly Task[]; readonly reason: string };

interface Permission {
  /** The rollout lets the slot be replaced now. */
  readonly chosen: boolean;
  readonly startFirst: boolean;
}

/**
 * A slot that looks for a node for its new task stays nowhere, though its old task still runs: spreading is to look
 * at where tasks will be, not where they were.
 */
function moveOf({ slot, step, superfluous }: SlotDecision, { chosen, startFirst }: Permission): Move {
  switch (step.kind) {
    case "fill":
      return { kind: "fill", fill: { ref: slot, restarts: step.restarts } };
    case "pending":
      return { kind: "seat", task: step.task };
    case "replace": {
      if (!chosen) return stay(slot.active, superfluous);
      if (!startFirst) return { kind: "clear", tasks: slot.active, reason: REPLACED[step.because] };
      if (step.trial.kind === "held") return stay(slot.active, superfluous);
      const restarts = step.trial.kind === "retry" ? step.trial.restarts : 0;
      return { kind: "fill", fill: { ref: slot, restarts } };
    }
    case "settled":
    case "unready":
      return stay(slot.active, superfluous);
    case "wait":
    case "given-up":
      return { kind: "none" };
    default:
      return assertNever(step);
  }
}

const REPLACED = { outdated: "a newer version replaces it", drained: "its node is drained" } as const;

function stay(active: readonly Task[], superfluous: readonly Task[]): Move {
  const task = active.find((one) => !superfluous.includes(one));
  return task === undefined ? { kind: "none" } : { kind: "stay", task };
}

function dueOf(step: SlotStep): readonly number[] {
  if (step.kind === "wait") return step.atMs === undefined ? [] : [step.atMs];
  if (step.kind !== "replace" || step.trial.kind !== "held") return [];
  return step.trial.atMs === undefined ? [] : [step.trial.atMs];
}

function updateProblem({ heldBy }: Batch): readonly Problem[] {
  return heldBy === undefined ? [] : [{ why: `the update waits for ${heldBy}` }];
}
