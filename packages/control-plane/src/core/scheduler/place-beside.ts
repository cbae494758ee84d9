import type { OwnerTask } from "@berth/proto";
import { nodeName } from "../model/node-name.js";
import type { SlotRef } from "../model/slots.js";
import type { ClusterSnapshot } from "../model/snapshot.js";
import { capacityFunction, explainNoCapacity } from "./node-capacity.js";
import { occupiedTasksFunction, type ServicePlacement } from "./service-load.js";

/** The owner tasks beside which the task of a slot must run. */
export type OwnerMatch =
  | { readonly kind: "found"; readonly nodeId: string; readonly owners: readonly OwnerTask[] }
  /** `reason` explains to users what the task of the slot waits for. */
  | { readonly kind: "missing"; readonly reason: string };

/** Returns the owner tasks of a slot. */
export type FindOwners = (slot: SlotRef) => OwnerMatch;

export interface PlaceBesideContext extends ServicePlacement {
  readonly cluster: ClusterSnapshot;
}

/**
 * Returns a function that places the task of a slot on the node of its owners, if it fits there. Each call counts the
 * tasks that earlier calls have placed.
 */
export function placeBesideFunction(
  findOwners: FindOwners,
  { requirements, load, cluster }: PlaceBesideContext,
): FindOwners {
  const capacityOf = capacityFunction(requirements, cluster);
  const occupiedOn = occupiedTasksFunction({ requirements, load });
  const placedByNode = new Map<string, number>();
  return (slot) => {
    const match = findOwners(slot);
    if (match.kind === "missing") return match;
    const { nodeId } = match;
    const snapshot = cluster.nodes.get(nodeId);
    if (snapshot === undefined) return { kind: "missing", reason: `node ${nodeId} was removed` };
    const placed = placedByNode.get(nodeId) ?? 0;
    if (capacityOf(snapshot, occupiedOn(snapshot)) <= placed) {
      const problem = explainNoCapacity([snapshot], { requirements, load }, cluster);
      return {
        kind: "missing",
        reason: `it runs beside its owner on ${nodeName(snapshot.node)}: ${problem}`,
      };
    }
    placedByNode.set(nodeId, placed + 1);
    return match;
  };
}
