import type { Task } from "@berth/proto";
import type { NodeSnapshot } from "../model/snapshot.js";
import { type Before, dropFirst, heapify, reorderFirst } from "./heap.js";
import { countTasksByGroup, spreadPath } from "./spread-counts.js";
import { groupIntoLeaves, type Pool, SpreadTree } from "./spread-tree.js";

/** A slot of a replicated service. */
interface RemovableSlot {
  readonly number: number;
  readonly active: readonly Pick<Task, "nodeId">[];
}

/** The attributes by which a service is spread, and the nodes that have them. */
export interface SpreadContext {
  /** Attributes over whose values the service is spread. */
  readonly spread: readonly string[];
  readonly nodes: ReadonlyMap<string, NodeSnapshot>;
}

/**
 * Returns the `count` slots to remove when a service is scaled down.
 *
 * Selects slots in the reverse order of placement. At each spread level, the group with the most tasks of the service
 * comes first, within it the node with the most of these tasks, and on the node the slot with the highest number.
 *
 * @param slots the slots that may be removed
 * @param options.staying all slots that count as tasks of a node, including `slots`
 */
export function selectSlotsToRemove<Slot extends RemovableSlot>(
  slots: readonly Slot[],
  count: number,
  { staying, spread, nodes }: SpreadContext & { readonly staying: ReadonlySet<Slot> },
): readonly Slot[] {
  const byNode = new Map<string, NodeSlots<Slot>>();
  for (const slot of staying) slotsOnNodeOf(slot, byNode).count += 1;
  for (const slot of slots) slotsOnNodeOf(slot, byNode).removable.push(slot);
  const counts = new Map([...byNode].map(([nodeId, onNode]) => [nodeId, onNode.count]));
  const pathOf = (nodeId: string): readonly string[] => spreadPath(nodes.get(nodeId)?.node, spread);
  const leaves = groupIntoLeaves(
    [...byNode.values()].filter(({ removable }) => removable.length > 0),
    { pathOf: ({ nodeId }) => pathOf(nodeId), poolOf: (members) => new NodeSlotsHeap(members) },
  );
  const tree = new SpreadTree(leaves, countTasksByGroup(counts, pathOf), { step: -1, before: isFuller });
  const chosen: Slot[] = [];
  while (chosen.length < count) {
    const slot = tree.best?.removable.at(-1);
    if (slot === undefined) break;
    chosen.push(slot);
    tree.take();
  }
  return chosen;
}

interface NodeSlots<Slot extends RemovableSlot> {
  readonly nodeId: string;
  /** Slots on the node that may be removed, the highest number last. */
  readonly removable: Slot[];
  /** Tasks of the service on the node. */
  count: number;
}

class NodeSlotsHeap<Slot extends RemovableSlot> implements Pool<NodeSlots<Slot>> {
  readonly #nodes: NodeSlots<Slot>[];

  constructor(nodes: NodeSlots<Slot>[]) {
    this.#nodes = nodes;
    heapify(this.#nodes, isFuller);
  }

  get best(): NodeSlots<Slot> | undefined {
    return this.#nodes[0];
  }

  take(): void {
    const { best } = this;
    if (best === undefined) return;
    best.removable.pop();
    best.count -= 1;
    if (best.removable.length > 0) {
      reorderFirst(this.#nodes, isFuller);
    } else {
      dropFirst(this.#nodes, isFuller);
    }
  }
}

function slotsOnNodeOf<Slot extends RemovableSlot>(
  slot: Slot,
  byNode: Map<string, NodeSlots<Slot>>,
): NodeSlots<Slot> {
  const nodeId = slot.active[0]?.nodeId ?? "";
  const existing = byNode.get(nodeId);
  if (existing !== undefined) return existing;
  const created = { nodeId, removable: [], count: 0 };
  byNode.set(nodeId, created);
  return created;
}

const isFuller: Before<NodeSlots<RemovableSlot>> = (a, b) =>
  a.count !== b.count ? a.count > b.count : highestNumber(a) > highestNumber(b);

function highestNumber({ removable }: NodeSlots<RemovableSlot>): number {
  return removable.at(-1)?.number ?? 0;
}
