import type { NodeLoad, NodeSnapshot, OrderedNode } from "../model/snapshot.js";
import type { Before } from "./heap.js";
import { mergeSort } from "./merge-sort.js";

/** Orders nodes by reserved share, then by number of tasks, then by ID. */
export const isLessLoaded: Before<NodeLoad> = (a, b) => {
  if (a.reservedShare !== b.reservedShare) return a.reservedShare < b.reservedShare;
  if (a.taskCount !== b.taskCount) return a.taskCount < b.taskCount;
  if (a.idRank !== b.idRank) return a.idRank < b.idRank;
  return a.id < b.id;
};

/** Returns the larger of the reserved fractions of a node's CPUs and memory. */
export function dominantShare({ node }: NodeSnapshot, nanoCpus: number, memoryBytes: number): number {
  return Math.max(
    reservedFraction(nanoCpus, node.description?.nanoCpus ?? 0),
    reservedFraction(memoryBytes, node.description?.memoryBytes ?? 0),
  );
}

function reservedFraction(reserved: number, capacity: number): number {
  return capacity > 0 ? reserved / capacity : 0;
}

/**
 * Number of leading characters of an ID that form its rank. Seven characters of 7 bits fit into the 53 bits of an exact
 * integer.
 */
const RANKED_CHARACTERS = 7;
const RANK_BASE = 128;

/**
 * Returns a number that orders IDs by their first characters. IDs of equal rank have to be compared as strings.
 *
 * The nodes of a new cluster differ only in their IDs, and comparing strings is several times slower.
 */
export function computeIdRank(id: string): number {
  let rank = 0;
  let isExact = true;
  for (let at = 0; at < RANKED_CHARACTERS; at += 1) {
    const code: number = isExact && at < id.length ? id.charCodeAt(at) : 0;
    rank = rank * RANK_BASE + Math.min(code, RANK_BASE - 1);
    isExact &&= code < RANK_BASE - 1;
  }
  return rank;
}

/** Number of nodes up to which they are always moved one by one. Sorting all nodes is cheaper for more. */
const MIN_SINGLE_MOVES = 4;
/** Size of a large order per node that is moved one by one. */
const NODES_PER_SINGLE_MOVE = 64;

/**
 * Nodes ordered by load, the least loaded first.
 *
 * `touch` only marks a node whose load may have changed; `inOrder` repairs the order. Moving one node costs a binary
 * search and a shift of the array.
 */
export class LoadOrder {
  readonly #entries = new Map<string, Entry>();
  #sorted: Entry[] = [];
  /** Entries that may be out of order. */
  #touched: Entry[] = [];

  get size(): number {
    return this.#entries.size;
  }

  /** Adds a node or replaces its snapshot. */
  put(snapshot: NodeSnapshot): void {
    const { id } = snapshot.node;
    const existing = this.#entries.get(id);
    if (existing === undefined) {
      const entry = {
        id,
        idRank: computeIdRank(id),
        snapshot,
        reservedShare: 0,
        taskCount: 0,
        isSorted: false,
        isTouched: true,
      };
      this.#entries.set(id, entry);
      this.#touched.push(entry);
    } else {
      existing.snapshot = snapshot;
      this.#touch(existing);
    }
  }

  delete(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    if (entry.isSorted) this.#takeOut(entry);
    if (entry.isTouched) this.#touched.splice(this.#touched.indexOf(entry), 1);
  }

  /** Marks a node whose load may have changed. */
  touch(id: string): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) this.#touch(entry);
  }

  /** Returns all nodes in order. The array is valid until the next change. */
  inOrder(): readonly OrderedNode[] {
    if (this.#touched.length > 0) this.#repair();
    return this.#sorted;
  }

  #touch(entry: Entry): void {
    if (entry.isTouched) return;
    entry.isTouched = true;
    this.#touched.push(entry);
  }

  #repair(): void {
    const moved = this.#touched.filter(isOutOfDate);
    for (const entry of this.#touched) entry.isTouched = false;
    this.#touched = [];
    const maxSingleMoves = Math.max(MIN_SINGLE_MOVES, this.#sorted.length / NODES_PER_SINGLE_MOVE);
    if (moved.length <= maxSingleMoves) {
      for (const entry of moved) this.#moveOne(entry);
    } else {
      this.#sortAll(moved);
    }
  }

  #moveOne(entry: Entry): void {
    if (entry.isSorted) this.#takeOut(entry);
    refreshLoad(entry);
    this.#sorted.splice(this.#indexFor(entry), 0, entry);
    entry.isSorted = true;
  }

  #sortAll(moved: readonly Entry[]): void {
    for (const entry of moved) {
      refreshLoad(entry);
      if (!entry.isSorted) this.#sorted.push(entry);
      entry.isSorted = true;
    }
    this.#sorted = mergeSort(this.#sorted, isLessLoaded);
  }

  /** Removes an entry from the order. Its load must still be the load by which it was sorted. */
  #takeOut(entry: Entry): void {
    this.#sorted.splice(this.#indexFor(entry), 1);
    entry.isSorted = false;
  }

  /** Returns the first index whose node is not less loaded. */
  #indexFor(load: NodeLoad): number {
    let from = 0;
    let to = this.#sorted.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      const other = this.#sorted[middle];
      if (other !== undefined && isLessLoaded(other, load)) {
        from = middle + 1;
      } else {
        to = middle;
      }
    }
    return from;
  }
}

/** A node with the load by which it was sorted. The load of its snapshot may be newer. */
interface Entry extends OrderedNode {
  snapshot: NodeSnapshot;
  reservedShare: number;
  taskCount: number;
  isSorted: boolean;
  isTouched: boolean;
}

function currentShare({ snapshot }: Entry): number {
  return dominantShare(snapshot, snapshot.reserved.nanoCpus, snapshot.reserved.memoryBytes);
}

function isOutOfDate(entry: Entry): boolean {
  return (
    !entry.isSorted ||
    entry.taskCount !== entry.snapshot.taskCount ||
    entry.reservedShare !== currentShare(entry)
  );
}

function refreshLoad(entry: Entry): void {
  entry.reservedShare = currentShare(entry);
  entry.taskCount = entry.snapshot.taskCount;
}
