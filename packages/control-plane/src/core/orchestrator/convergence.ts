import {
  DesiredState,
  NodeState,
  RestartPolicy_Condition,
  type Rollout,
  type Task,
  TaskState,
} from "@berth/proto";
import { isRollback, isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import { isInUse, type Slot, slotsByNode, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import {
  byAge,
  isDisconnected,
  isEnded,
  isPending,
  isReady,
  isUnhealthy,
  shouldRun,
  stateOf,
} from "../model/task-state.js";
import { type CurrentTest, currentTest } from "../model/template.js";
import { pendingReason } from "../scheduler/pending-reason.js";
import { requirementsOf } from "../scheduler/requirements.js";
import { replicasOf } from "./desired-slots.js";
import { jobConvergence } from "./jobs/job-convergence.js";
import { isJob } from "./jobs/job-mode.js";
import { NOT_FENCED } from "./slots/fate.js";
import { isActive, nodeSuits } from "./slots/global.js";
import { whyLeaves } from "./slots/leaving.js";

export interface Convergence {
  /** Tasks that should run. */
  readonly desired: number;
  /** Tasks that do. */
  readonly running: number;
  /** All that should run does (or completed), nothing is left over, nothing is outdated. */
  readonly converged: boolean;
  /** Why not, for a person. Empty exactly when converged. */
  readonly reasons: readonly string[];
}

/** How far a service is from what it should be. */
export function convergence(view: ServiceSnapshot, cluster: ClusterSnapshot): Convergence {
  const running = view.tasks.filter((task) => shouldRun(task) && isReady(task)).length;
  if (view.service.removing) return removing(view, running, cluster);
  if (isJob(view.spec)) return jobConvergence(view, cluster);
  const isGlobal = view.spec.mode?.$case === "global";
  const slots = isGlobal ? slotsByNode(view.tasks) : slotsByNumber(view.tasks).filter(isInUse);
  const desired = isGlobal ? desiredOnNodes(view, cluster) : replicasOf(view.spec, view.service.autoscale);
  const isCurrent = currentTest(view.service);
  const states = slots.map((slot) => slotState(slot, { view, cluster, isCurrent }));
  const satisfied = states.filter((state) => state.satisfied).length;
  const reasons = new Map<string, number>();
  for (const why of rolloutReasons(view.service.rollout)) reasons.set(why, 1);
  for (const state of states) if (state.why !== "") reasons.set(state.why, (reasons.get(state.why) ?? 0) + 1);
  for (const why of unboundReasons(view, isGlobal)) reasons.set(why, (reasons.get(why) ?? 0) + 1);
  if (reasons.size === 0 && satisfied !== desired) reasons.set(countReason(satisfied, desired), 1);
  return {
    desired,
    running,
    converged: reasons.size === 0,
    reasons: [...reasons].map(([why, count]) => (count === 1 ? why : `${count} tasks: ${why}`)),
  };
}

/**
 * The newest task of each slot and every task that is still to stop: what someone who waits wants to see.
 * Newest first within a slot.
 */
export function newestTasks(tasks: readonly Task[]): readonly Task[] {
  const newest = new Map<string, Task>();
  for (const task of tasks) {
    const key = slotKey(task);
    const known = newest.get(key);
    if (known === undefined || byAge(task, known) < 0) newest.set(key, task);
  }
  return tasks.filter((task) => newest.get(slotKey(task)) === task || (!shouldRun(task) && !isEnded(task)));
}

/** NEW tasks of a global service have neither number nor node: each is one of its own. */
function slotKey(task: Task): string {
  if (task.slot !== 0) return String(task.slot);
  return task.nodeId === "" ? `new/${task.id}` : `node/${task.nodeId}`;
}

function removing(view: ServiceSnapshot, running: number, { nodes }: ClusterSnapshot): Convergence {
  const left = view.tasks.length;
  const isDown = ({ nodeId }: Task): boolean => nodes.get(nodeId)?.node.state === NodeState.DOWN;
  const unsure = view.tasks.filter(isDown).length;
  // All others on such nodes are forgotten at once.
  const why = unsure === 0 ? "" : `; ${unsure} of them on nodes that are down: ${NOT_FENCED}`;
  const reasons = [left === 0 ? "it is being removed" : `it is being removed: ${left} tasks are left${why}`];
  return { desired: 0, running, converged: false, reasons };
}

function desiredOnNodes(view: ServiceSnapshot, { nodes }: ClusterSnapshot): number {
  const suits = nodeSuits(requirementsOf(view.spec));
  const busy = new Set(
    view.tasks.filter((task) => shouldRun(task) && !isEnded(task)).map((one) => one.nodeId),
  );
  let desired = 0;
  for (const [nodeId, node] of nodes) if (suits(node) && (isActive(node) || busy.has(nodeId))) desired += 1;
  return desired;
}

interface SlotState {
  readonly satisfied: boolean;
  /** Empty when there is nothing to say. */
  readonly why: string;
}

/** A rollout that is on or paused is not what was asked for, even if every slot runs something. */
function rolloutReasons(rollout: Rollout | undefined): readonly string[] {
  if (rollout === undefined) return [];
  if (isRolloutPaused(rollout)) return [rollout.message];
  if (!isRolloutActive(rollout)) return [];
  const what = isRollback(rollout) ? "it is being rolled back" : "it is being updated";
  return [rollout.message === "" ? what : `${what}: ${rollout.message}`];
}

interface SlotContext {
  readonly view: ServiceSnapshot;
  readonly cluster: ClusterSnapshot;
  readonly isCurrent: CurrentTest;
}

function slotState(slot: Slot, { view, cluster, isCurrent }: SlotContext): SlotState {
  const stopping = slot.stopping.length > 0 ? "a former task has not stopped yet" : "";
  // What is out of reach counts only where nothing takes its place.
  const inReach = slot.active.filter((task) => !isDisconnected(task));
  const best = inReach.find(isReady) ?? inReach[0] ?? slot.pending[0] ?? slot.active[0];
  if (best === undefined) return emptySlot(slot, { view, stopping, isCurrent });
  if (!slot.active.every(isCurrent)) {
    return { satisfied: false, why: "an older version still runs" };
  }
  if (inReach.length > 1) return { satisfied: true, why: "two tasks share a slot" };
  if (!isReady(best)) return { satisfied: false, why: unreadyReason(best) };
  const leaves = whyLeaves(best, cluster.nodes);
  return { satisfied: true, why: stopping || (leaves === undefined ? "" : LEAVES[leaves]) };
}

const LEAVES = {
  drained: "it is to leave its node, which is drained",
  moved: "it is to move to another node",
} as const;

function emptySlot(
  slot: Slot,
  {
    view,
    stopping,
    isCurrent,
  }: { readonly view: ServiceSnapshot; readonly stopping: string; readonly isCurrent: CurrentTest },
): SlotState {
  const last = slot.ended[0];
  if (last === undefined) return { satisfied: false, why: stopping };
  return isCurrent(last) && hasCompleted(last, view)
    ? { satisfied: true, why: stopping }
    : { satisfied: false, why: stopping || endReason(last) };
}

/** A one-shot that did its work. */
function hasCompleted(task: Task, { spec }: ServiceSnapshot): boolean {
  const condition = spec.task?.restart?.condition || RestartPolicy_Condition.ANY;
  return stateOf(task) === TaskState.COMPLETE && condition !== RestartPolicy_Condition.ANY;
}

function unboundReasons({ tasks }: ServiceSnapshot, isGlobal: boolean): readonly string[] {
  if (!isGlobal) return [];
  return tasks.filter((task) => isPending(task) && shouldRun(task)).map(unreadyReason);
}

function unreadyReason(task: Task): string {
  if (isPending(task)) return pendingReason(task);
  if (isUnhealthy(task)) return "it is unhealthy";
  if (isDisconnected(task)) return task.status?.message || "its node is out of reach";
  const doing = DOING[stateOf(task)] ?? "it does not run yet";
  return task.status?.message ? `${doing}: ${task.status.message}` : doing;
}

const DOING: Readonly<Partial<Record<TaskState, string>>> = {
  [TaskState.ASSIGNED]: "it waits for its node",
  [TaskState.PREPARING]: "it is being prepared",
  [TaskState.STARTING]: "it is starting",
};

function endReason(task: Task): string {
  if (task.desiredState >= DesiredState.SHUTDOWN) return "it is being replaced";
  const message = task.status?.message;
  if (message) return message;
  const code = task.status?.exitCode;
  return code === undefined ? "it ended" : `it ended with exit code ${code}`;
}

const countReason = (satisfied: number, desired: number): string =>
  `${satisfied} of ${desired} tasks are in place`;
