import type { Service } from "@berth/proto";
import type { Action } from "../../model/plan.js";
import { isRolloutActive, isRolloutPaused } from "../../model/rollout.js";
import { slotKey } from "../../model/slots.js";
import type { ClusterSnapshot, ServiceTasks } from "../../model/snapshot.js";
import { currentTest } from "../../model/template.js";
import type { Problem } from "../problems.js";
import { stepRollout } from "../rollout.js";
import { type Progress, progressOf } from "../rollout-progress.js";
import { moveOf } from "../slot-actions.js";
import { decideSlot, type SlotDecision } from "../slot-state.js";
import { goneTest } from "../task-removal.js";
import { type Batch, nextBatch } from "../update-batch.js";
import type { UpdatePolicy } from "../update-policy.js";
import { type Steps, StepsBuilder } from "./steps.js";
import type { Wanted } from "./wanted.js";

/** What is to become of a service's slots, or of the service. */
export type Decisions =
  | ({ readonly kind: "steps" } & Steps)
  /** The service itself becomes another: its slots are decided anew. */
  | { readonly kind: "turn"; readonly service: Service; readonly reason: string };

export interface DecideContext {
  readonly cluster: ClusterSnapshot;
  readonly policy: UpdatePolicy;
  readonly now: number;
  readonly leaderSinceMs: number;
}

/** Asks each slot what it needs, and the rollout what may be replaced now. */
export function decide(view: ServiceTasks, wanted: Wanted, context: DecideContext): Decisions {
  const { service } = view;
  const { now, policy, leaderSinceMs: inChargeSinceMs } = context;
  const rollout = isRolloutActive(service.rollout) ? service.rollout : undefined;
  const decisions = decideSlots(view, wanted, context);
  const progress = progressOf(decisions, {
    policy,
    now,
    leaderSinceMs: inChargeSinceMs,
    ...(rollout ? { rollout } : {}),
  });
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
    problems: [...rolloutProblem(service), ...batch.heldBy.map((why) => ({ why })), ...steps.problems],
  };
}

function decideSlots(
  { service, spec }: ServiceTasks,
  wanted: Wanted,
  { cluster, policy, now }: DecideContext,
): readonly SlotDecision[] {
  const isFrozen = isRolloutPaused(service.rollout);
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
  if (!isNext || rollout === undefined || !isRolloutActive(rollout) || rollout.progressedAtMs === now)
    return service;
  return { ...service, rollout: { ...rollout, progressedAtMs: now } };
}

/** A failed rollout is the first thing to know of a service. */
const rolloutProblem = ({ rollout }: Service): readonly Problem[] =>
  rollout !== undefined && isRolloutPaused(rollout) ? [{ why: rollout.message }] : [];

interface StepsInput {
  readonly view: ServiceTasks;
  readonly wanted: Wanted;
  readonly decisions: readonly SlotDecision[];
  readonly batch: Batch;
  readonly progress: Progress;
  readonly context: DecideContext;
}

function stepsOf({ view, wanted, decisions, batch, progress, context }: StepsInput): Steps {
  const { service } = view;
  const { startFirst } = context.policy;
  const failed = isRolloutActive(service.rollout) ? progress.failed : NO_SLOTS;
  const { version } = service;
  const isGone = goneTest(view, context.cluster.nodes);
  const builder = new StepsBuilder({ version, freshVersion: freshVersionOf(view), isGone });
  for (const decision of decisions) {
    const chosen = batch.chosen.has(decision);
    const hasFailed = failed.size > 0 && failed.has(slotKey(decision.slot));
    builder.add(decision, moveOf(decision, { chosen, startFirst, hasFailed }));
  }
  builder.addWanted(wanted);
  return builder.steps();
}

/** A service that grows while its rollout is paused grows by what is known to run well. */
function freshVersionOf({ service, spec, revisions }: ServiceTasks): number {
  const { version, healthyVersion, rollout } = service;
  const canTell = isRolloutPaused(rollout) && spec.mode?.$case === "replicated";
  return canTell && revisions.has(healthyVersion) ? healthyVersion : version;
}

const NO_SLOTS: ReadonlySet<string> = new Set();
