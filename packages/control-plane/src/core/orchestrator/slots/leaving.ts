import { Availability, NodeState, type Task } from "@berth/proto";
import type { Slot } from "../../model/slots.js";
import type { NodeSnapshot } from "../../model/snapshot.js";

/** Why a task that may be just as it should is not to stay where it is. */
export type LeavingReason = "drained" | "moved";

/** Undefined: it stays. A task asked to move stays while the node that it is to move to takes none. */
export function whyLeaves(task: Task, nodes: ReadonlyMap<string, NodeSnapshot>): LeavingReason | undefined {
  if (nodes.get(task.nodeId)?.node.availability === Availability.DRAIN) return "drained";
  if (task.preferredNodeId === "" || task.preferredNodeId === task.nodeId) return undefined;
  const target = nodes.get(task.preferredNodeId)?.node;
  const isOpen = target?.state === NodeState.READY && target.availability === Availability.ACTIVE;
  return isOpen ? "moved" : undefined;
}

/** The node that the next task of a slot should go to if it can; undefined: any. */
export function preferredNodeOf(slot: Slot): string | undefined {
  const asked = slot.active.find((task) => task.preferredNodeId !== "") ?? slot.ended[0];
  return asked === undefined || asked.preferredNodeId === "" ? undefined : asked.preferredNodeId;
}
