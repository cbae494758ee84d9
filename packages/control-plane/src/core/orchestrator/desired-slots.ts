import { type AutoscaleStatus, Availability, NodeState, type ServiceSpec, type Task } from "@berth/proto";
import { isInUse, type Slot, type SlotRef, slotsByNode, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, NodeSnapshot } from "../model/snapshot.js";
import { isPending, isReady, shouldRun } from "../model/task-state.js";
import type { CurrentTaskFilter } from "../model/template.js";
import { eligibilityTest } from "../scheduler/node-capacity.js";
import { getRequirements, type TaskRequirements } from "../scheduler/requirements.js";
import { type SpreadContext, selectSlotsToRemove } from "../scheduler/scale-down.js";
import { scaledReplicas } from "./autoscale.js";
import { hasStaticAddress } from "./update-policy.js";

/** The slots of a service, divided by what the spec requires. */
export interface DesiredSlots {
  /** Slots that the spec requires and that have tasks. */
  readonly keep: readonly Slot[];
  /** Slots to remove with everything in them. */
  readonly remove: readonly Slot[];
  /** Slots that have no task yet. */
  readonly missing: readonly SlotRef[];
  /** NEW tasks of a global service. They have no node, so they belong to no slot yet. */
  readonly unbound: readonly Task[];
}

/** Returns the replicas that a replicated service should have (1 by default), after autoscaling. */
export function replicasOf({ mode, autoscale }: ServiceSpec, scaled?: AutoscaleStatus): number {
  const replicas = mode?.$case === "replicated" ? mode.value.replicas : 1;
  return autoscale === undefined ? replicas : scaledReplicas(autoscale, scaled, replicas);
}

export interface DesiredSlotsContext {
  readonly spec: ServiceSpec;
  readonly cluster: Pick<ClusterSnapshot, "nodes">;
  /** Number of slots that the given tasks of a replicated service should have. */
  readonly replicas: number;
  readonly isCurrent: CurrentTaskFilter;
}

/** Decides which slots of a service to keep, to remove and to add. */
export function desiredSlots(tasks: readonly Task[], context: DesiredSlotsContext): DesiredSlots {
  const { spec, cluster, replicas, isCurrent } = context;
  const requirements = getRequirements(spec);
  const { nodes } = cluster;
  if (spec.mode?.$case === "global") return globalSlots(tasks, requirements, nodes);
  const order = { isCurrent, spread: requirements.spread, nodes };
  return replicatedSlots(tasks, replicas, { ...order, mayOverlap: !hasStaticAddress(spec) });
}

/** The inputs for choosing the slots to remove. */
interface RemovalOrder extends SpreadContext {
  readonly isCurrent: CurrentTaskFilter;
}

interface ReplicatedContext extends RemovalOrder {
  /** False if a new task must not run beside a stopping one, because both would have the same address. */
  readonly mayOverlap: boolean;
}

/** Decides which slots of a replicated service to keep, to remove and to add. */
export function replicatedSlots(
  tasks: readonly Task[],
  replicas: number,
  { mayOverlap, ...order }: ReplicatedContext,
): DesiredSlots {
  const slots = slotsByNumber(tasks);
  const used = slots.filter(isInUse);
  if (used.length <= replicas) {
    const stopping = mayOverlap ? [] : slots.filter((slot) => !isInUse(slot) && slot.stopping.length > 0);
    // A kept slot gets its new task once its stopping task has ended.
    const keep = [...used, ...stopping.slice(0, replicas - used.length)];
    return { keep, remove: [], missing: freeSlots(slots, replicas - keep.length), unbound: [] };
  }
  const remove = new Set(selectLeastValuable(used, used.length - replicas, order));
  return { keep: used.filter((slot) => !remove.has(slot)), remove: [...remove], missing: [], unbound: [] };
}

/** Returns slots with the lowest free numbers. A number is taken until the last task of its slot has stopped. */
function freeSlots(slots: readonly Slot[], count: number): readonly SlotRef[] {
  const takenSlots = new Set(
    slots.filter((slot) => isInUse(slot) || slot.stopping.length > 0).map((slot) => slot.number),
  );
  const free: SlotRef[] = [];
  for (let number = 1; free.length < count; number += 1) {
    if (!takenSlots.has(number)) free.push({ number, nodeId: "" });
  }
  return free;
}

/**
 * Selects the slots to remove: first slots without a task, then unready slots, then outdated slots.
 *
 * Among equal slots, it selects in the reverse order of placement.
 */
function selectLeastValuable(
  slots: readonly Slot[],
  count: number,
  { isCurrent, ...spread }: RemovalOrder,
): readonly Slot[] {
  const byValue: Slot[][] = [[], [], [], []];
  for (const slot of slots) byValue[retentionClass(slot, isCurrent)]?.push(slot);
  const chosen: Slot[] = [];
  const staying = new Set(slots);
  for (const equalSlots of byValue) {
    const remaining = count - chosen.length;
    const selected =
      equalSlots.length <= remaining
        ? equalSlots
        : selectSlotsToRemove(equalSlots, remaining, { staying, ...spread });
    for (const slot of selected) {
      chosen.push(slot);
      staying.delete(slot);
    }
  }
  return chosen;
}

/** Returns the value of keeping a slot, from 0 (lowest) to 3. */
function retentionClass(slot: Slot, isCurrent: CurrentTaskFilter): number {
  if (slot.active.length === 0) return 0;
  if (!slot.active.some(isReady)) return 1;
  return slot.active.some(isCurrent) ? 3 : 2;
}

/**
 * Decides which slots of a global service to keep, to remove and to add: one for each eligible node.
 *
 * A paused node keeps its task and gets no new one. The slot of a down node is neither kept nor removed, so its task can
 * be inspected and continues when the node returns.
 */
export function globalSlots(
  tasks: readonly Task[],
  requirements: TaskRequirements,
  nodes: ReadonlyMap<string, NodeSnapshot>,
): DesiredSlots {
  const isEligible = globalNodeTest(requirements);
  const keep: Slot[] = [];
  const remove: Slot[] = [];
  const nodesWithSlot = new Set<string>();
  for (const slot of slotsByNode(tasks)) {
    const node = nodes.get(slot.nodeId);
    nodesWithSlot.add(slot.nodeId);
    if (node === undefined || !isEligible(node)) {
      if (node?.node.state !== NodeState.DOWN && isInUse(slot)) remove.push(slot);
    } else if (isUnpaused(node) || slot.active.length > 0) {
      keep.push(slot);
    }
  }
  const nodesWithoutSlot = [...nodes.values()].filter(({ node }) => !nodesWithSlot.has(node.id));
  const missing = nodeSlots(nodesWithoutSlot.filter((node) => isUnpaused(node) && isEligible(node)));
  return { keep, remove, missing, unbound: tasks.filter(isUnbound) };
}

/** Returns a predicate for the nodes on which a global service with these requirements should run now. */
export function globalNodeTest(requirements: TaskRequirements): (snapshot: NodeSnapshot) => boolean {
  const isEligible = eligibilityTest(requirements);
  return (snapshot) =>
    snapshot.node.state === NodeState.READY &&
    snapshot.node.availability !== Availability.DRAIN &&
    isEligible(snapshot);
}

/** Returns whether a node is not paused. */
export function isUnpaused({ node }: NodeSnapshot): boolean {
  return node.availability !== Availability.PAUSE;
}

/** Returns the slots of these nodes, in order of node IDs. */
export function nodeSlots(nodes: readonly NodeSnapshot[]): readonly SlotRef[] {
  const slots = nodes.map(({ node }) => ({ number: 0, nodeId: node.id }));
  return slots.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
}

/** Returns whether a task of a global service waits for any node. */
export function isUnbound(task: Task): boolean {
  return task.nodeId === "" && isPending(task) && shouldRun(task);
}
