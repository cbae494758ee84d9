import type { Slot } from "../model/slots.js";
import type { NodeSnapshot } from "../model/snapshot.js";
import { type Before, dropFirst, heapify, reorderFirst } from "./heap.js";
import { countGroups, leavesOf, type Pool, SpreadTree, spreadPath } from "./spread.js";

/** What decides how full a node or a group of nodes is. */
export interface SpreadContext {
  /** Attributes over whose values the service is spread. */
  readonly spread: readonly string[];
  readonly nodes: ReadonlyMap<string, NodeSnapshot>;
}

/**
 * Chooses slots to give up as the inverse of placement: from the fullest group of each level, of the node with the
 * most tasks of the service there, the highest number. All of `staying` count, those of `slots` may go.
 */
export function selectSlotsToRemove(
  slots: readonly Slot[],
  count: number,
  { staying, spread, nodes }: SpreadContext & { readonly staying: ReadonlySet<Slot> },
): readonly Slot[] {
  const shares = new Map<string, NodeShare>();
  for (const slot of staying) shareOf(shares, slot).count += 1;
  for (const slot of slots) shareOf(shares, slot).removable.push(slot);
  const counts = new Map([...shares].map(([nodeId, share]) => [nodeId, share.count]));
  const pathOf = (nodeId: string): readonly string[] => spreadPath(nodes.get(nodeId)?.node, spread);
  const leaves = leavesOf(
    [...shares.values()].filter((share) => share.removable.length > 0),
    { pathOf: ({ nodeId }) => pathOf(nodeId), poolOf: (members) => new ShareHeap(members) },
  );
  const tree = new SpreadTree(leaves, countGroups(counts, pathOf), { step: -1, before: fuller });
  const chosen: Slot[] = [];
  while (chosen.length < count) {
    const slot = tree.best?.removable.at(-1);
    if (slot === undefined) break;
    chosen.push(slot);
    tree.take();
  }
  return chosen;
}

/** Slots of one node that may go, the highest number last, and how many of the service the node has. */
interface NodeShare {
  readonly nodeId: string;
  readonly removable: Slot[];
  count: number;
}

class ShareHeap implements Pool<NodeShare> {
  readonly #shares: NodeShare[];

  constructor(shares: NodeShare[]) {
    this.#shares = shares;
    heapify(this.#shares, fuller);
  }

  get best(): NodeShare | undefined {
    return this.#shares[0];
  }

  take(): void {
    const { best } = this;
    if (best === undefined) return;
    best.removable.pop();
    best.count -= 1;
    if (best.removable.length > 0) reorderFirst(this.#shares, fuller);
    else dropFirst(this.#shares, fuller);
  }
}

function shareOf(shares: Map<string, NodeShare>, slot: Slot): NodeShare {
  const nodeId = slot.active[0]?.nodeId ?? "";
  const known = shares.get(nodeId);
  if (known !== undefined) return known;
  const share = { nodeId, removable: [], count: 0 };
  shares.set(nodeId, share);
  return share;
}

const fuller: Before<NodeShare> = (a, b) =>
  a.count !== b.count ? a.count > b.count : highestNumber(a) > highestNumber(b);

const highestNumber = (share: NodeShare): number => share.removable.at(-1)?.number ?? 0;
