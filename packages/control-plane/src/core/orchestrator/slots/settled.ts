import { Availability, type Node, NodeState, type Task } from "@berth/proto";
import type { ClusterView, ServiceView } from "../../model.js";
import type { LevelCounts } from "../../scheduler/service-load.js";
import { isOn, isPaused } from "../rollout/rollout-record.js";
import { currentTest } from "../rollout/template.js";
import { replicasOf } from "./replicated.js";
import { isInUse, slotsByNumber } from "./slots.js";
import { TaskIndex } from "./task-index.js";

/** Tasks that are each alone in their slot and just as they should be: nothing is to be decided about them. */
export interface Settled {
  readonly size: number;
  /** Tasks on each node, but for those of `leaving` counted as well. Alive. */
  readonly calm: LevelCounts;
  /** Tasks that are calm by themselves, on nodes that they are not to stay on. */
  readonly leaving: readonly Task[];
}

/** A service's tasks, divided. */
export interface Division {
  /** Undefined: none are set aside. */
  readonly settled: Settled | undefined;
  /** All others. */
  readonly open: readonly Task[];
}

/**
 * Sets the settled tasks aside, so that what happens to one of a thousand slots costs hardly more than that slot.
 * Only where nothing has to look at all of them: no rollout goes on or is to be completed, and none are too many or
 * missing. Otherwise all tasks are open.
 */
export function setSettledAside(view: ServiceView, cluster: ClusterView): Division {
  const whole: Division = { settled: undefined, open: view.tasks };
  if (!isAtRest(view)) return whole;
  const index = view.index ?? TaskIndex.of(view.tasks);
  if (!isAllCurrent(view, index)) return whole;
  const leaving = leavingTasks(index, cluster);
  const open = [...index.restless(), ...leaving];
  const size = index.calmCount - leaving.length;
  if (size < open.length) return whole;
  const used = slotsByNumber(open).filter(isInUse).length;
  if (size + used !== replicasOf(view.spec, view.service.autoscale)) return whole;
  return { settled: { size, calm: index.calmOn, leaving }, open };
}

/** Whether a task may stay on a node that is like this. */
const holdsTasks = (node: Node | undefined): boolean =>
  node?.state === NodeState.READY && node.availability !== Availability.DRAIN;

function isAtRest({ service, spec }: ServiceView): boolean {
  const { rollout, version, healthyVersion } = service;
  return (
    spec.mode?.$case === "replicated" && healthyVersion === version && !isOn(rollout) && !isPaused(rollout)
  );
}

/** Whatever ran well as a whole has nothing outdated that runs well. */
function isAllCurrent({ service }: ServiceView, index: TaskIndex): boolean {
  const isCurrent = currentTest(service);
  for (const specVersion of index.calmVersions()) if (!isCurrent({ specVersion })) return false;
  return true;
}

function leavingTasks(index: TaskIndex, { nodes, closed }: ClusterView): readonly Task[] {
  const leaving: Task[] = [];
  for (const nodeId of closed ?? nodeIdsOf(index.calmOn)) {
    if (!holdsTasks(nodes.get(nodeId)?.node)) leaving.push(...index.calmTasksOn(nodeId));
  }
  return leaving;
}

function* nodeIdsOf(counts: LevelCounts): Iterable<string> {
  for (const [nodeId] of counts) yield nodeId;
}
