import { Availability, type Node, NodeState, type Task } from "@berth/proto";
import { isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import { isInUse, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, ServiceDefinition, ServiceSnapshot } from "../model/snapshot.js";
import type { StableTasks, TaskIndex } from "../model/task-index.js";
import { currentTaskFilter } from "../model/template.js";
import { replicasOf } from "./desired-slots.js";

/** The tasks of a service, divided into stable tasks and tasks to reconcile. */
export interface TaskPartition {
  /** Tasks that need no decision. Undefined if all tasks are to be reconciled. */
  readonly stable: StableTasks | undefined;
  readonly tasksToReconcile: readonly Task[];
}

/**
 * Separates the stable tasks of a service from the tasks to reconcile. The cost of an event in one slot then does not
 * depend on the number of slots.
 *
 * All tasks are to be reconciled when a decision depends on all of them: the current version is not healthy yet, a
 * rollout is active or paused, the number of slots is wrong, or the tasks follow those of another service.
 */
export function partitionTasks(snapshot: ServiceSnapshot, cluster: ClusterSnapshot): TaskPartition {
  return splitOffStableTasks(snapshot, cluster) ?? { stable: undefined, tasksToReconcile: snapshot.tasks };
}

/**
 * Returns undefined if all tasks are to be reconciled. Does not read `snapshot.tasks`: its cost grows with the tasks.
 */
function splitOffStableTasks(
  snapshot: Omit<ServiceSnapshot, "tasks">,
  cluster: ClusterSnapshot,
): TaskPartition | undefined {
  const { index, spec, service, owners } = snapshot;
  if (owners !== undefined || !isServiceConverged(snapshot) || !areStableTasksCurrent(snapshot)) {
    return undefined;
  }
  const leaving = leavingTasks(index, cluster);
  const tasksToReconcile = [...index.unstableTasks(), ...leaving];
  const size = index.stableCount - leaving.length;
  // Not worth dividing when most tasks are to be reconciled.
  if (size < tasksToReconcile.length) return undefined;
  const otherSlots = slotsByNumber(tasksToReconcile).filter(isInUse).length;
  if (size + otherSlots !== replicasOf(spec, service.autoscale)) return undefined;
  return { stable: { size, countByNode: index.stableByNode, leaving }, tasksToReconcile };
}

/** Returns whether the current version of a replicated service is healthy and no rollout is in progress. */
function isServiceConverged({ service, spec }: ServiceDefinition): boolean {
  const { rollout, version, healthyVersion } = service;
  return (
    spec.mode?.$case === "replicated" &&
    healthyVersion === version &&
    !isRolloutActive(rollout) &&
    !isRolloutPaused(rollout)
  );
}

function areStableTasksCurrent({ service, index }: Pick<ServiceSnapshot, "service" | "index">): boolean {
  const isCurrent = currentTaskFilter(service);
  for (const specVersion of index.stableVersions()) {
    if (!isCurrent({ specVersion })) return false;
  }
  return true;
}

/** Returns the stable tasks on nodes that are down, drained or removed. */
function leavingTasks(index: TaskIndex, { nodes, unschedulableNodeIds }: ClusterSnapshot): readonly Task[] {
  const leaving: Task[] = [];
  for (const nodeId of unschedulableNodeIds) {
    if (!canKeepTasks(nodes.get(nodeId)?.node)) leaving.push(...index.stableTasksOn(nodeId));
  }
  return leaving;
}

function canKeepTasks(node: Node | undefined): boolean {
  return node?.state === NodeState.READY && node.availability !== Availability.DRAIN;
}
