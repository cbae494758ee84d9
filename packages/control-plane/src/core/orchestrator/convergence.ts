import { NodeState, type Rollout } from "@berth/proto";
import { isRollback, isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import { isInUse, slotsByNode, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { isEnded, isReady, shouldRun } from "../model/task-state.js";
import { currentTaskFilter } from "../model/template.js";
import { getRequirements } from "../scheduler/requirements.js";
import { globalNodeTest, isUnbound, isUnpaused, replicasOf } from "./desired-slots.js";
import { jobConvergence } from "./job-convergence.js";
import { isJob } from "./job-schedule.js";
import { applyNodeLoss, NOT_FENCED } from "./node-loss.js";
import { applyOwnerLoss, OwnerTasks } from "./owner-tasks.js";
import { evaluateSlot, type SlotState, unreadyReason } from "./slot-state.js";
import { updatePolicy } from "./update-policy.js";

/** The progress of a service toward its desired state. The API and `berth stack deploy` show it. */
export interface Convergence {
  /** Number of tasks that should run. */
  readonly desired: number;
  /** Number of tasks that are ready. */
  readonly running: number;
  /** Whether every slot runs or has completed the current version, and no other tasks are left. */
  readonly converged: boolean;
  /** Reasons why the service has not converged, for users. Empty if and only if it has converged. */
  readonly reasons: readonly string[];
}

/** Computes the progress of a service toward its desired state. */
export function convergence(snapshot: ServiceSnapshot, cluster: ClusterSnapshot, nowMs: number): Convergence {
  const running = snapshot.tasks.filter((task) => shouldRun(task) && isReady(task)).length;
  if (snapshot.service.removing) return removalConvergence(snapshot, running, cluster);
  if (!isJob(snapshot.spec)) return serviceConvergence(snapshot, running, cluster, nowMs);
  const { desired, reasons } = jobConvergence(snapshot, cluster);
  return { desired, running, converged: reasons.length === 0, reasons };
}

/** The slots of a service as they are now. */
export interface EvaluatedSlots {
  readonly states: readonly SlotState[];
  /** Number of tasks that should run. */
  readonly desired: number;
  /** Reasons why tasks of a global service have no node. */
  readonly unboundReasons: readonly string[];
}

/** Evaluates the slots of a service that is not a job and is not being removed. */
export function evaluateSlots(
  snapshot: ServiceSnapshot,
  cluster: ClusterSnapshot,
  nowMs: number,
): EvaluatedSlots {
  const { service, spec } = snapshot;
  const owners = OwnerTasks.of(snapshot, { cluster, nowMs });
  const { tasks } = applyOwnerLoss(applyNodeLoss(snapshot, cluster.nodes, nowMs).tasks, owners, nowMs);
  const isGlobal = spec.mode?.$case === "global";
  const slots = isGlobal ? slotsByNode(tasks) : slotsByNumber(tasks).filter(isInUse);
  const desired = isGlobal
    ? (owners?.slotKeys?.size ?? desiredNodes(snapshot, cluster))
    : (owners?.replicas ?? replicasOf(spec, service.autoscale));
  const policy = updatePolicy(service, spec);
  const context = {
    ...policy,
    spec,
    version: service.version,
    isCurrent: currentTaskFilter(service),
    isRolloutPaused: false,
    deadlineMs: policy.progressDeadlineMs,
    nodes: cluster.nodes,
    owners,
    nowMs,
  };
  const states = slots.map((slot) => evaluateSlot(slot, context));
  return { states, desired, unboundReasons: isGlobal ? tasks.filter(isUnbound).map(unreadyReason) : [] };
}

function serviceConvergence(
  snapshot: ServiceSnapshot,
  running: number,
  cluster: ClusterSnapshot,
  nowMs: number,
): Convergence {
  const { states, desired, unboundReasons } = evaluateSlots(snapshot, cluster, nowMs);
  const slotReasons = states.map(({ reason }) => reason);
  const taskReasons = [...slotReasons, ...unboundReasons].filter((reason) => reason !== "");
  const reasons = [...rolloutReasons(snapshot.service.rollout), ...countedLines(taskReasons)];
  const satisfiedCount = states.filter(({ isSatisfied }) => isSatisfied).length;
  if (reasons.length === 0 && satisfiedCount !== desired) {
    reasons.push(`${satisfiedCount} of ${desired} tasks are in place`);
  }
  return { desired, running, converged: reasons.length === 0, reasons };
}

/** Returns each reason once, with the number of tasks it applies to. */
function countedLines(reasons: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].map(([reason, count]) => (count === 1 ? reason : `${count} tasks: ${reason}`));
}

/** Returns the number of nodes that a global service should run on. */
function desiredNodes({ spec, tasks }: ServiceSnapshot, { nodes }: ClusterSnapshot): number {
  const isEligible = globalNodeTest(getRequirements(spec));
  const used = new Set(tasks.filter((task) => shouldRun(task) && !isEnded(task)).map(({ nodeId }) => nodeId));
  let desired = 0;
  for (const [nodeId, node] of nodes) {
    if (isEligible(node) && (isUnpaused(node) || used.has(nodeId))) desired += 1;
  }
  return desired;
}

/** Returns why an active or paused rollout keeps the service from converging. Empty if there is none. */
function rolloutReasons(rollout: Rollout | undefined): string[] {
  if (rollout === undefined) return [];
  if (isRolloutPaused(rollout)) return [rollout.message];
  if (!isRolloutActive(rollout)) return [];
  const activity = isRollback(rollout) ? "it is being rolled back" : "it is being updated";
  return [rollout.message === "" ? activity : `${activity}: ${rollout.message}`];
}

function removalConvergence(
  { tasks }: ServiceSnapshot,
  running: number,
  { nodes }: ClusterSnapshot,
): Convergence {
  const onDownNodes = tasks.filter(({ nodeId }) => nodes.get(nodeId)?.node.state === NodeState.DOWN).length;
  // Only tasks that wait for fencing remain on down nodes; all others are deleted at once.
  const unfenced = onDownNodes === 0 ? "" : `; ${onDownNodes} of them on nodes that are down: ${NOT_FENCED}`;
  const remainingText = tasks.length === 0 ? "" : `: ${tasks.length} tasks are left${unfenced}`;
  return { desired: 0, running, converged: false, reasons: [`it is being removed${remainingText}`] };
}
