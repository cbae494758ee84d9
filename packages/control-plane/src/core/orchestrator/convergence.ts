import { type JobStatus, NodeState, type Rollout, type Task, TaskState } from "@berth/proto";
import { isRollback, isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import { isInUse, type Slot, slotsByNode, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { byAge, endText, isEnded, isPending, isReady, shouldRun, stateOf } from "../model/task-state.js";
import { currentTaskFilter } from "../model/template.js";
import { pendingReason } from "../scheduler/pending-reason.js";
import { getRequirements } from "../scheduler/requirements.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { globalNodeTest, isUnbound, isUnpaused, replicasOf } from "./desired-slots.js";
import { isJob, isRunActive, jobRuns, maxConcurrent } from "./job-schedule.js";
import { jobSlots } from "./job-slots.js";
import { applyNodeLoss, NOT_FENCED } from "./node-loss.js";
import { type Problem, problemLines } from "./problems.js";
import { evaluateSlot, unreadyReason } from "./slot-state.js";
import { updatePolicy } from "./update-policy.js";

/** How far a service is from its desired state. The API and `berth deploy` show it. */
export interface Convergence {
  /** Number of tasks that should run. */
  readonly desired: number;
  /** Number of tasks that are ready. */
  readonly running: number;
  /** Whether every slot runs or has completed the current version, and no other tasks are left. */
  readonly converged: boolean;
  /** Why the service has not converged, for users. Empty if and only if it has converged. */
  readonly reasons: readonly string[];
}

/** Returns how far a service is from its desired state. */
export function convergence(snapshot: ServiceSnapshot, cluster: ClusterSnapshot, now: number): Convergence {
  const running = snapshot.tasks.filter((task) => shouldRun(task) && isReady(task)).length;
  if (snapshot.service.removing) return removalConvergence(snapshot, running, cluster);
  return isJob(snapshot.spec)
    ? jobConvergence(snapshot, running, cluster)
    : serviceConvergence(snapshot, running, cluster, now);
}

function serviceConvergence(
  snapshot: ServiceSnapshot,
  running: number,
  cluster: ClusterSnapshot,
  now: number,
): Convergence {
  const { service, spec } = snapshot;
  const { tasks } = applyNodeLoss(snapshot, cluster.nodes, now);
  const isGlobal = spec.mode?.$case === "global";
  const slots = isGlobal ? slotsByNode(tasks) : slotsByNumber(tasks).filter(isInUse);
  const desired = isGlobal ? desiredNodes(snapshot, cluster) : replicasOf(spec, service.autoscale);
  const policy = updatePolicy(service, spec);
  const context = {
    ...policy,
    spec,
    version: service.version,
    isCurrent: currentTaskFilter(service),
    isFrozen: false,
    deadlineMs: policy.progressDeadlineMs,
    nodes: cluster.nodes,
    now,
  };
  const states = slots.map((slot) => evaluateSlot(slot, context));
  const unbound = isGlobal ? tasks.filter(isUnbound).map(unreadyReason) : [];
  const taskReasons = [...states.map(({ reason }) => reason), ...unbound].filter((reason) => reason !== "");
  const reasons = [...rolloutReasons(service.rollout), ...countedLines(taskReasons)];
  const satisfied = states.filter(({ isSatisfied }) => isSatisfied).length;
  if (reasons.length === 0 && satisfied !== desired) {
    reasons.push(`${satisfied} of ${desired} tasks are in place`);
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

/** Returns why an active or paused rollout keeps the service from converging. Empty when there is none. */
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
  const left = tasks.length === 0 ? "" : `: ${tasks.length} tasks are left${unfenced}`;
  return { desired: 0, running, converged: false, reasons: [`it is being removed${left}`] };
}

/**
 * Returns the convergence of a job.
 *
 * A job without a schedule has converged when the run of its current template has completed. A scheduled job has always
 * converged, because the result of a run does not affect the next one.
 */
function jobConvergence(snapshot: ServiceSnapshot, running: number, cluster: ClusterSnapshot): Convergence {
  const runs = jobRuns(snapshot.service).filter(isRunActive);
  const open = runs.map((run) => openSlots(run, snapshot, cluster));
  const desired = open.reduce((sum, { count }) => sum + Math.min(maxConcurrent(snapshot.spec), count), 0);
  const reasons = snapshot.spec.cron === undefined ? jobReasons(snapshot, open) : [];
  return { desired, running, converged: reasons.length === 0, reasons };
}

/** The slots of a run that have not completed. */
interface OpenSlots {
  /** Slots that have tasks. */
  readonly slots: readonly Slot[];
  /** Number of open slots, including slots without tasks. */
  readonly count: number;
  /** Number of slots in the run, including completed slots. */
  readonly total: number;
}

function openSlots(run: JobStatus, { spec, tasks }: ServiceSnapshot, cluster: ClusterSnapshot): OpenSlots {
  const runTasks = tasks.filter((task) => task.jobIteration === run.iteration);
  const { completedCount, slots, missing } = jobSlots(run, runTasks, { spec, cluster });
  const open = slots.filter((slot) => !slot.ended.some((task) => stateOf(task) === TaskState.COMPLETE));
  const total = completedCount + slots.length + missing.length;
  return { slots: open, count: open.length + missing.length, total };
}

function jobReasons({ service, tasks }: ServiceSnapshot, open: readonly OpenSlots[]): readonly string[] {
  const [run] = jobRuns(service);
  if (run?.templateVersion !== service.templateVersion) return ["its run has not begun"];
  if (run.failed) return [run.message];
  if (isRunActive(run)) return [...pendingReasons(tasks), ...open.flatMap(runReasons)];
  const hasStopping = tasks.some((task) => occupiesNode(task) && !shouldRun(task));
  return hasStopping ? ["a task of a previous run has not stopped yet"] : [];
}

function pendingReasons(tasks: readonly Task[]): readonly string[] {
  const pending = tasks.filter((task) => isPending(task) && shouldRun(task));
  return [...new Set(pending.map(pendingReason))];
}

function runReasons({ slots, count, total }: OpenSlots): readonly string[] {
  const failed = slots.flatMap((slot): Problem[] =>
    slot.active.length === 0 && slot.ended.length > 0 ? [{ reason: endText(slot.ended[0]), slot }] : [],
  );
  return [...problemLines(failed), `${total - count} of ${total} tasks have completed`];
}

/** Returns the newest task of each slot, and every task that is to stop and has not ended. */
export function newestTasks(tasks: readonly Task[]): readonly Task[] {
  const newest = new Map<string, Task>();
  for (const task of tasks) {
    const key = newestKey(task);
    const known = newest.get(key);
    if (known === undefined || byAge(task, known) < 0) newest.set(key, task);
  }
  return tasks.filter((task) => newest.get(newestKey(task)) === task || (!shouldRun(task) && !isEnded(task)));
}

/** Returns the key of a task's slot. A NEW task of a global service belongs to no slot and gets its own key. */
function newestKey(task: Task): string {
  if (task.slot !== 0) return String(task.slot);
  return task.nodeId === "" ? `new/${task.id}` : `node/${task.nodeId}`;
}
