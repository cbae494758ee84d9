import type { Task } from "@berth/proto";
import type { ClusterView, ServiceView } from "../model.js";
import { isOn, isPaused } from "../orchestrator/rollout/rollout-record.js";
import { currentTest } from "../orchestrator/rollout/template.js";
import { isInUse, type Slot, slotsByNumber } from "../orchestrator/slots/slots.js";
import { runsWell } from "../task-state.js";
import { requirementsOf, type TaskRequirements } from "./filters.js";
import type { ServiceLoad } from "./schedule.js";
import { serviceLoadOf } from "./service-load.js";

/** A service whose tasks may be moved, and where they would be by the moves made so far. */
export interface RebalanceCandidate {
  readonly name: string;
  readonly requirements: TaskRequirements;
  readonly load: ServiceLoad;
  /** Tasks that were not moved yet, by node. */
  readonly movable: ReadonlyMap<string, Task[]>;
  /** Counts a task more (1) or less (-1) on a node. */
  readonly count: (nodeId: string, by: 1 | -1) => void;
}

/** Undefined for a service that is not to be touched: its tasks are bound to their nodes, or it is not at rest. */
export function rebalanceCandidateOf(
  view: ServiceView,
  cluster: ClusterView,
  now: number,
): RebalanceCandidate | undefined {
  const { service, spec, tasks } = view;
  if (spec.mode?.$case !== "replicated" || service.removing) return undefined;
  if (isOn(service.rollout) || isPaused(service.rollout)) return undefined;
  const need = requirementsOf(spec);
  if (need.volumes.length > 0) return undefined;
  const isCurrent = currentTest(service);
  const slots = slotsByNumber(tasks).filter(isInUse);
  const settled = slots.flatMap((slot) => settledTask(slot, isCurrent) ?? []);
  if (settled.length < slots.length) return undefined;

  const { tasksByNode, occupiedByNode, avoided } = serviceLoadOf(tasks, settled, { isCurrent, now });
  const load = { tasksByNode: new Map(tasksByNode), occupiedByNode: new Map(occupiedByNode), avoided };
  const movable = new Map<string, Task[]>();
  for (const task of settled.filter(({ nodeId }) => cluster.nodes.has(nodeId))) {
    movable.set(task.nodeId, [...(movable.get(task.nodeId) ?? []), task]);
  }
  return {
    name: spec.name,
    requirements: need,
    load,
    movable,
    count: (nodeId, by) => {
      for (const counts of [load.tasksByNode, load.occupiedByNode])
        counts.set(nodeId, (counts.get(nodeId) ?? 0) + by);
    },
  };
}

function settledTask(slot: Slot, isCurrent: (task: Task) => boolean): Task | undefined {
  const [task] = slot.active;
  const isAlone = slot.active.length === 1 && slot.pending.length === 0 && slot.stopping.length === 0;
  if (task === undefined || !isAlone) return undefined;
  return runsWell(task) && isCurrent(task) && task.preferredNodeId === "" ? task : undefined;
}
