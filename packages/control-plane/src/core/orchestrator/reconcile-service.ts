import type { Service, Task } from "@berth/proto";
import { type Action, buildPlan, type Plan } from "../model/plan.js";
import { isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import type { ClusterSnapshot, ReconcileContext, ServiceTasks } from "../model/snapshot.js";
import type { StableTasks } from "../model/task-index.js";
import { isReady } from "../model/task-state.js";
import { currentTaskFilter } from "../model/template.js";
import { capacityFunction } from "../scheduler/node-capacity.js";
import { getRequirements } from "../scheduler/requirements.js";
import { companionSlots } from "./companion-slots.js";
import { type DesiredSlots, desiredSlots, replicasOf } from "./desired-slots.js";
import { applyNodeLoss, type NodeLoss } from "./node-loss.js";
import { applyOwnerLoss, OwnerTasks } from "./owner-tasks.js";
import { type Problem, problemLines } from "./problems.js";
import { RESET_RESTARTS_AFTER_MS } from "./restart.js";
import { decideRollout, type RolloutDecision } from "./rollout.js";
import { type ProgressContext, type RolloutProgress, rolloutProgress } from "./rollout-progress.js";
import { placeSlots, slotActions } from "./slot-actions.js";
import { evaluateSlot, type SlotState } from "./slot-state.js";
import { goneTest, removeSlot, trimHistory } from "./task-removal.js";
import { nextBatch, type UpdateBatch } from "./update-batch.js";
import { type UpdatePolicy, updatePolicy } from "./update-policy.js";

const NO_SLOTS: ReadonlySet<string> = new Set();

/**
 * Plans the changes for one long-running service. The snapshot leaves out the `stable` tasks, which need no decision.
 *
 * Steps: apply node losses; decide which slots to keep, remove and add; determine the state of each kept slot; decide
 * the rollout; select the slots to replace now; place the tasks to create.
 */
export function reconcileService(
  snapshot: ServiceTasks,
  stable: StableTasks | undefined,
  cluster: ClusterSnapshot,
  context: ReconcileContext,
): Plan {
  const { service, spec } = snapshot;
  const { nowMs } = context;
  const nodeLoss = applyNodeLoss(snapshot, cluster.nodes, nowMs);
  const owners = OwnerTasks.of(snapshot, { cluster, nowMs });
  const ownerLoss = applyOwnerLoss(nodeLoss.tasks, owners, nowMs);
  const losses: NodeLoss = { ...nodeLoss, actions: [...nodeLoss.actions, ...ownerLoss.actions] };
  const afterLosses: ServiceTasks = { ...snapshot, tasks: ownerLoss.tasks };
  const desired =
    owners === undefined
      ? desiredSlots(afterLosses.tasks, {
          spec,
          cluster,
          replicas: replicasOf(spec, service.autoscale) - (stable?.size ?? 0),
          isCurrent: currentTaskFilter(service),
        })
      : companionSlots(afterLosses.tasks, owners, { spec, nodes: cluster.nodes });
  const policy = updatePolicy(service, spec);
  const states = slotStates(afterLosses, desired, { policy, cluster, owners, nowMs });
  const progress = rolloutProgress(states, progressContext(afterLosses, policy, cluster, context));
  const rollout = decideRollout(afterLosses, {
    policy,
    progress,
    total: desired.keep.length + desired.missing.length,
    isComplete: !progress.hasNew && runsOnlyCurrent(service, desired),
    nowMs,
  });
  if (rollout.kind !== "continue") return planRolloutChange(rollout, losses, nowMs);
  return planSlots(
    { losses, snapshot: afterLosses, owners, desired, policy, states, progress, rollout },
    stable,
    cluster,
    context,
  );
}

type ContinuedRollout = Extract<RolloutDecision, { kind: "continue" }>;

/** Plans the update of a service whose rollout has changed its state. The next plan, due at once, decides the slots. */
function planRolloutChange(
  rollout: Exclude<RolloutDecision, ContinuedRollout>,
  losses: NodeLoss,
  nowMs: number,
): Plan {
  const { service, reason } = rollout;
  const change: Action =
    rollout.kind === "roll-back"
      ? { kind: "roll-back-service", service, failure: rollout.failure, reason }
      : { kind: "update-service", service, reason };
  return { actions: [...losses.actions, change], problems: [], requeueAtMs: nowMs };
}

/** The decisions about the service as a whole, which precede the decisions about single slots. */
interface ServiceDecisions {
  /** The losses of nodes and owners. */
  readonly losses: NodeLoss;
  /** The service with its tasks after node losses. */
  readonly snapshot: ServiceTasks;
  readonly owners: OwnerTasks | undefined;
  readonly desired: DesiredSlots;
  readonly policy: UpdatePolicy;
  readonly states: readonly SlotState[];
  readonly progress: RolloutProgress;
  readonly rollout: ContinuedRollout;
}

/** Selects the slots to replace now, places the tasks to create, and collects the actions of all decisions. */
function planSlots(
  { losses, snapshot, owners, desired, policy, states, progress, rollout }: ServiceDecisions,
  stable: StableTasks | undefined,
  cluster: ClusterSnapshot,
  context: ReconcileContext,
): Plan {
  const { service } = snapshot;
  const { nowMs } = context;
  const isActive = isRolloutActive(service.rollout);
  const batch = nextBatch(states, { policy, progress, isActive, nowMs });
  const isGone = goneTest(snapshot, cluster.nodes);
  const slots = slotActions(states, desired, {
    version: service.version,
    newSlotVersion: newSlotVersion(snapshot),
    batch: batch.chosen,
    failedSlots: isActive ? progress.failed : NO_SLOTS,
    isGone,
  });
  const placed = placeSlots(slots, { ...context, snapshot, owners, cluster, stable });
  const resets = restartResets(slots.staying, nowMs);
  const actions = [
    ...losses.actions,
    ...desired.remove.flatMap((slot) => removeSlot(slot, "its slot is no longer needed", isGone)),
    ...rolloutUpdate(service, rollout.service ?? service, batch, { reason: rollout.reason, nowMs }),
    ...slots.removals,
    ...desired.keep.flatMap((slot) => trimHistory(slot, isGone)),
    ...placed.actions,
    ...resets.actions,
  ];
  const dueTimesMs = [
    ...losses.dueTimesMs,
    ...states.flatMap((state) => state.dueMs ?? []),
    ...rollout.dueTimesMs,
    ...batch.dueTimesMs,
    ...resets.dueTimesMs,
    ...(placed.isComplete ? [] : [nowMs]),
  ];
  return buildPlan(actions, {
    dueTimesMs,
    problems: problemLines(collectProblems(service, states, batch)),
    nowMs,
  });
}

interface SlotStatesContext {
  readonly policy: UpdatePolicy;
  readonly cluster: ClusterSnapshot;
  readonly owners: OwnerTasks | undefined;
  readonly nowMs: number;
}

function slotStates(
  { service, spec }: ServiceTasks,
  { keep }: DesiredSlots,
  { policy, cluster, owners, nowMs }: SlotStatesContext,
): readonly SlotState[] {
  const isPaused = isRolloutPaused(service.rollout);
  const context = {
    spec,
    version: service.version,
    isCurrent: isPaused ? () => true : currentTaskFilter(service),
    isRolloutPaused: isPaused,
    startFirst: policy.startFirst,
    startFirstWithOwner: policy.startFirstWithOwner,
    monitorMs: policy.monitorMs,
    deadlineMs: policy.progressDeadlineMs,
    nodes: cluster.nodes,
    owners,
    nowMs,
  };
  return keep.map((slot) => evaluateSlot(slot, context));
}

function progressContext(
  { service, spec }: ServiceTasks,
  policy: UpdatePolicy,
  cluster: ClusterSnapshot,
  { nowMs, leaderSinceMs }: ReconcileContext,
): ProgressContext {
  return {
    policy,
    nowMs,
    leaderSinceMs,
    rollout: isRolloutActive(service.rollout) ? service.rollout : undefined,
    hasOtherNode: (slot, nodeIds) => {
      if (slot.nodeId !== "") return false;
      const capacityOf = capacityFunction(getRequirements(spec), cluster);
      return [...cluster.nodes].some(([id, node]) => !nodeIds.has(id) && capacityOf(node, 0) > 0);
    },
  };
}

/** Returns whether no slot is missing and no outdated task is left. A paused rollout leaves outdated tasks. */
function runsOnlyCurrent(service: Service, { keep, missing, unbound }: DesiredSlots): boolean {
  if (missing.length > 0 || unbound.length > 0) return false;
  const isCurrent = currentTaskFilter(service);
  return keep.every(({ active, pending }) => pending.length === 0 && active.every(isCurrent));
}

/**
 * Returns the version of new slots. While its rollout is paused, a replicated service scales up with its healthy
 * version.
 */
function newSlotVersion({ service, spec, revisions }: ServiceTasks): number {
  const { version, healthyVersion, rollout } = service;
  const usesHealthyVersion = isRolloutPaused(rollout) && spec.mode?.$case === "replicated";
  return usesHealthyVersion && revisions.has(healthyVersion) ? healthyVersion : version;
}

/** Returns the action that records the rollout's progress. The start of a batch restarts the progress deadline. */
function rolloutUpdate(
  before: Service,
  decided: Service,
  { isNext }: UpdateBatch,
  { reason, nowMs }: { readonly reason: string; readonly nowMs: number },
): readonly Action[] {
  const { rollout } = decided;
  const restartsDeadline =
    isNext && rollout !== undefined && isRolloutActive(rollout) && rollout.progressedAtMs !== nowMs;
  const service = restartsDeadline ? { ...decided, rollout: { ...rollout, progressedAtMs: nowMs } } : decided;
  if (service === before) return [];
  return [{ kind: "update-service", service, reason: reason || "the next batch begins" }];
}

/** Returns the problems of the service, a paused rollout first. */
function collectProblems(
  { rollout }: Service,
  states: readonly SlotState[],
  { heldBy }: UpdateBatch,
): readonly Problem[] {
  const paused = rollout !== undefined && isRolloutPaused(rollout) ? [{ reason: rollout.message }] : [];
  const blocked = states.flatMap(({ isBlocked, reason, slot }) => (isBlocked ? [{ reason, slot }] : []));
  return [...paused, ...heldBy.map((reason) => ({ reason })), ...blocked];
}

/** Returns the actions that reset the restart counts of tasks that have been ready long enough. */
function restartResets(
  staying: readonly Task[],
  nowMs: number,
): { readonly actions: readonly Action[]; readonly dueTimesMs: readonly number[] } {
  const actions: Action[] = [];
  const dueTimesMs: number[] = [];
  for (const task of staying) {
    if (task.restarts === 0 || !isReady(task)) continue;
    const atMs = (task.status?.sinceMs ?? nowMs) + RESET_RESTARTS_AFTER_MS;
    if (atMs <= nowMs) {
      actions.push({ kind: "reset-restarts", task });
    } else {
      dueTimesMs.push(atMs);
    }
  }
  return { actions, dueTimesMs };
}
