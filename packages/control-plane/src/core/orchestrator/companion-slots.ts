import { NodeState, type ServiceSpec, type Task } from "@berth/proto";
import { isInUse, type Slot, type SlotRef, slotKey, slotsByNode, slotsByNumber } from "../model/slots.js";
import type { NodeSnapshot } from "../model/snapshot.js";
import { type DesiredSlots, isUnbound } from "./desired-slots.js";
import type { OwnerTasks } from "./owner-tasks.js";

export interface CompanionSlotsContext {
  readonly spec: ServiceSpec;
  readonly nodes: ReadonlyMap<string, NodeSnapshot>;
}

/**
 * Decides which slots of a companion to keep, remove and add so that they match the slots of its first owner.
 *
 * A slot whose last task is still stopping is kept, because no other number can replace it. As in a global service, a
 * slot on a node that is down is neither kept nor removed.
 */
export function companionSlots(
  tasks: readonly Task[],
  owners: OwnerTasks,
  { spec, nodes }: CompanionSlotsContext,
): DesiredSlots {
  const isGlobal = spec.mode?.$case === "global";
  const slots = isGlobal ? slotsByNode(tasks) : slotsByNumber(tasks);
  const unbound = isGlobal ? tasks.filter(isUnbound) : [];
  const ownerKeys = owners.slotKeys;
  if (ownerKeys === undefined) return { keep: slots.filter(isInUse), remove: [], missing: [], unbound };
  const keep = slots.filter(
    (slot) => ownerKeys.has(slotKey(slot)) && (isInUse(slot) || slot.stopping.length > 0),
  );
  const keptKeys = new Set(keep.map(slotKey));
  const isOnDownNode = ({ nodeId }: Slot): boolean => nodes.get(nodeId)?.node.state === NodeState.DOWN;
  const remove = slots.filter(
    (slot) => !ownerKeys.has(slotKey(slot)) && isInUse(slot) && !isOnDownNode(slot),
  );
  const missing = [...ownerKeys]
    .filter((key) => !keptKeys.has(key))
    .map((key): SlotRef => (isGlobal ? { number: 0, nodeId: key } : { number: Number(key), nodeId: "" }));
  return { keep, remove, missing: missing.sort(bySlot), unbound };
}

function bySlot(a: SlotRef, b: SlotRef): number {
  return a.number - b.number || (a.nodeId < b.nodeId ? -1 : 1);
}
