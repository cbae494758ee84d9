import { DesiredState, type Task } from "@berth/proto";
import { dismiss } from "./departures.js";
import type { ClusterView, ServiceView } from "./model.js";
import type { Action } from "./plan.js";
import { type Problem, problemOf } from "./problems.js";
import { nextBatch } from "./rollout.js";
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

export function decide(view: ServiceView, wanted: Wanted, context: DecideContext): Decisions {
  const { service, spec } = view;
  const { now, startFirst, cluster } = context;
  const { version, templateVersion } = service;
  const slotContext = { spec, version, templateVersion, startFirst, nodes: cluster.nodes, now };
  const decisions = wanted.keep.map((slot) => decideSlot(slot, slotContext));
  const batch = nextBatch(decisions, { spec, templateVersion, now });
  const replaced = new Set(batch.decisions);

  const stale = wanted.unbound.filter((task) => task.specVersion !== version);
  const pending = wanted.unbound.filter((task) => task.specVersion === version);
  const fills: Fill[] = [];
  const departures = stale.flatMap((task) => stop(task, "its spec has changed", context));
  const staying: Task[] = [];
  const dueMs = batch.atMs === undefined ? [] : [batch.atMs];
  const problems: Problem[] =
    batch.heldBy === undefined ? [] : [{ why: `the update waits for ${batch.heldBy}` }];

  for (const decision of decisions) {
    const { slot, step } = decision;
    departures.push(...decision.superfluous.flatMap((task) => stop(task, "not needed any more", context)));
    const chosen = replaced.has(decision);
    const restarts = restartsOfNew(step, { chosen, startFirst });
    if (restarts !== undefined) fills.push({ ref: slot, restarts });
    else if (chosen && !startFirst)
      departures.push(...slot.active.flatMap((task) => replace(task, step, context)));
    else staying.push(...stayingTask(decision));
    if (step.kind === "pending") pending.push(step.task);
    const atMs = dueOf(step);
    if (atMs !== undefined) dueMs.push(atMs);
    const problem = problemOf(slot, step);
    if (problem !== undefined) problems.push(problem);
  }
  for (const ref of wanted.fresh) fills.push({ ref, restarts: 0 });
  return { seats: { pending, fills }, departures, staying, dueMs, problems };
}

/** The restart count of the task to be made for a slot now; undefined when none is. */
function restartsOfNew(
  step: SlotStep,
  { chosen, startFirst }: { readonly chosen: boolean; readonly startFirst: boolean },
): number | undefined {
  if (step.kind === "fill") return step.restarts;
  if (step.kind !== "replace" || !chosen || !startFirst) return undefined;
  if (step.trial.kind === "held") return undefined;
  return step.trial.kind === "retry" ? step.trial.restarts : 0;
}

function dueOf(step: SlotStep): number | undefined {
  if (step.kind === "wait") return step.atMs;
  return step.kind === "replace" && step.trial.kind === "held" ? step.trial.atMs : undefined;
}

/** A slot that looks for a node for a new task stays nowhere, even while its old task still runs. */
function stayingTask({ slot, step, superfluous }: SlotDecision): readonly Task[] {
  if (step.kind === "pending") return [];
  return slot.active.filter((task) => !superfluous.includes(task)).slice(0, 1);
}

function replace(task: Task, step: SlotStep, context: DecideContext): readonly Action[] {
  const drained = step.kind === "replace" && step.because === "drained";
  return stop(task, drained ? "its node is drained" : "a newer version replaces it", context);
}

function stop(task: Task, reason: string, { cluster }: DecideContext): readonly Action[] {
  return dismiss(task, { desired: DesiredState.SHUTDOWN, reason, nodes: cluster.nodes });
}
