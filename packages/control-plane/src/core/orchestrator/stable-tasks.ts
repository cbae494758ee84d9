import { Availability, type Node, NodeState, type Task } from "@berth/proto";
import { isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import { isInUse, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import type { TaskIndex } from "../model/task-index.js";
import { currentTest } from "../model/template.js";
import type { LevelCounts } from "../scheduler/service-load.js";
import { replicasOf } from "./desired-slots.js";

/** Tasks that are each alone in their slot and just as they should be: nothing is to be decided about them. */
export interface StableTasks {
  readonly size: number;
  /** Tasks on each node, but for those of `leaving` counted as well. Alive. */
  readonly countByNode: LevelCounts;
  /** Tasks that are calm by themselves, on nodes that they are not to stay on. */
  readonly leaving: readonly Task[];
}

/** A service's tasks, divided. */
export interface Division {
  /** Undefined: none are set aside. */
  readonly settled: StableTasks | undefined;
  /** All others. */
  readonly open: readonly Task[];
}

/**
 * Sets the settled tasks aside, so that what happens to one of a thousand slots costs hardly more than that slot.
 * Only where nothing has to look at all of them: no rollout goes on or is to be completed, and none are too many or
 * missing. Otherwise all tasks are open.
 */
export function partitionStable(view: ServiceSnapshot, cluster: ClusterSnapshot): Division {
  const whole: Division = { settled: undefined, open: view.tasks };
  if (!isAtRest(view)) return whole;
  const { index } = view;
  if (!isAllCurrent(view, index)) return whole;
  const leaving = leavingTasks(index, cluster);
  const open = [...index.unstable(), ...leaving];
  const size = index.stableCount - leaving.length;
  if (size < open.length) return whole;
  const used = slotsByNumber(open).filter(isInUse).length;
  if (size + used !== replicasOf(view.spec, view.service.autoscale)) return whole;
  return { settled: { size, countByNode: index.stableByNode, leaving }, open };
}

/** Whether a task may stay on a node that is like this. */
const holdsTasks = (node: Node | undefined): boolean =>
  node?.state === NodeState.READY && node.availability !== Availability.DRAIN;

function isAtRest({ service, spec }: ServiceSnapshot): boolean {
  const { rollout, version, healthyVersion } = service;
  return (
    spec.mode?.$case === "replicated" &&
    healthyVersion === version &&
    !isRolloutActive(rollout) &&
    !isRolloutPaused(rollout)
  );
}

/** Whatever ran well as a whole has nothing outdated that runs well. */
function isAllCurrent({ service }: ServiceSnapshot, index: TaskIndex): boolean {
  const isCurrent = currentTest(service);
  for (const specVersion of index.stableVersions()) if (!isCurrent({ specVersion })) return false;
  return true;
}

function leavingTasks(index: TaskIndex, { nodes, closed }: ClusterSnapshot): readonly Task[] {
  const leaving: Task[] = [];
  for (const nodeId of closed) {
    if (!holdsTasks(nodes.get(nodeId)?.node)) leaving.push(...index.stableOn(nodeId));
  }
  return leaving;
}
