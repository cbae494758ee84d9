import { Availability, type Node, NodeState, type Task } from "@berth/proto";
import { isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import { isInUse, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, ServiceDefinition, ServiceSnapshot } from "../model/snapshot.js";
import type { StableTasks, TaskIndex } from "../model/task-index.js";
import { currentTest } from "../model/template.js";
import { replicasOf } from "./desired-slots.js";

/** The tasks of a service, divided by whether they need a decision. */
export interface Partition {
  /** Undefined when every task needs a decision. */
  readonly stable: StableTasks | undefined;
  /** All tasks that need a decision. */
  readonly open: readonly Task[];
}

/**
 * Separates the stable tasks of a service from the tasks that need a decision. An event in one of a thousand slots then
 * costs little more than that slot.
 *
 * All tasks are open when a decision depends on all of them: the current version is not healthy yet, a rollout is active
 * or paused, or the number of slots is wrong.
 */
export function partitionStable(snapshot: ServiceSnapshot, cluster: ClusterSnapshot): Partition {
  return partitionSteady(snapshot, cluster) ?? { stable: undefined, open: snapshot.tasks };
}

/** Returns undefined when all tasks are open. Does not read `snapshot.tasks`, whose cost grows with the tasks. */
function partitionSteady(
  snapshot: Omit<ServiceSnapshot, "tasks">,
  cluster: ClusterSnapshot,
): Partition | undefined {
  const { index, spec, service } = snapshot;
  if (!isSteady(snapshot) || !areStableTasksCurrent(snapshot)) return undefined;
  const leaving = leavingTasks(index, cluster);
  const open = [...index.unstableTasks(), ...leaving];
  const size = index.stableCount - leaving.length;
  // Not worth dividing when most tasks are open.
  if (size < open.length) return undefined;
  const used = slotsByNumber(open).filter(isInUse).length;
  if (size + used !== replicasOf(spec, service.autoscale)) return undefined;
  return { stable: { size, countByNode: index.stableByNode, leaving }, open };
}

function isSteady({ service, spec }: ServiceDefinition): boolean {
  const { rollout, version, healthyVersion } = service;
  return (
    spec.mode?.$case === "replicated" &&
    healthyVersion === version &&
    !isRolloutActive(rollout) &&
    !isRolloutPaused(rollout)
  );
}

function areStableTasksCurrent({ service, index }: Pick<ServiceSnapshot, "service" | "index">): boolean {
  const isCurrent = currentTest(service);
  for (const specVersion of index.stableVersions()) if (!isCurrent({ specVersion })) return false;
  return true;
}

/** Returns the stable tasks on nodes that are down, drained or removed. */
function leavingTasks(index: TaskIndex, { nodes, closedNodeIds }: ClusterSnapshot): readonly Task[] {
  const leaving: Task[] = [];
  for (const nodeId of closedNodeIds) {
    if (!keepsTasks(nodes.get(nodeId)?.node)) leaving.push(...index.stableTasksOn(nodeId));
  }
  return leaving;
}

const keepsTasks = (node: Node | undefined): boolean =>
  node?.state === NodeState.READY && node.availability !== Availability.DRAIN;
