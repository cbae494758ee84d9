import type { NodeSnapshot } from "../model/snapshot.js";
import type { Before } from "./heap.js";
import { mergeSort } from "./merge-sort.js";

/** Up to so many nodes are moved one by one, and one in `FEW_SHARE` of all: beyond that, sorting again is cheaper. */
const FEW = 4;
const FEW_SHARE = 64;

/**
 * Nodes in order of their load, the lightest first. Whoever changes the load of a node says so with `touch`, which
 * costs next to nothing; the order is put right when it is asked for. A node that moves costs a search and a shift.
 */
export class LoadOrder {
  readonly #placed = new Map<string, Placed>();
  #sorted: Placed[] = [];
  /** May not be where they belong. */
  #touched: Placed[] = [];

  get size(): number {
    return this.#placed.size;
  }

  /** Adds a node, or takes its new view in place of that known. */
  put(view: NodeSnapshot): void {
    const { id } = view.node;
    const known = this.#placed.get(id);
    if (known === undefined) {
      const placed = { id, idRank: idRankOf(id), view, share: 0, tasks: 0, isSorted: false, isTouched: true };
      this.#placed.set(id, placed);
      this.#touched.push(placed);
    } else {
      known.view = view;
      this.#touch(known);
    }
  }

  delete(id: string): void {
    const placed = this.#placed.get(id);
    if (placed === undefined) return;
    this.#placed.delete(id);
    if (placed.isSorted) this.#takeOut(placed);
    if (placed.isTouched) this.#touched.splice(this.#touched.indexOf(placed), 1);
  }

  /** To be called when the load of a node has changed, or may have. */
  touch(id: string): void {
    const placed = this.#placed.get(id);
    if (placed !== undefined) this.#touch(placed);
  }

  /** All of them; valid until the next change. */
  inOrder(): readonly OrderedNode[] {
    if (this.#touched.length > 0) this.#repair();
    return this.#sorted;
  }

  #touch(placed: Placed): void {
    if (placed.isTouched) return;
    placed.isTouched = true;
    this.#touched.push(placed);
  }

  #repair(): void {
    const moved = this.#touched.filter(hasMoved);
    for (const placed of this.#touched) placed.isTouched = false;
    this.#touched = [];
    if (moved.length <= Math.max(FEW, this.#sorted.length / FEW_SHARE)) {
      for (const placed of moved) {
        if (placed.isSorted) this.#takeOut(placed);
        weigh(placed);
        this.#sorted.splice(this.#firstNotBefore(placed), 0, placed);
        placed.isSorted = true;
      }
      return;
    }
    for (const placed of moved) weigh(placed);
    for (const placed of moved) {
      if (!placed.isSorted) this.#sorted.push(placed);
      placed.isSorted = true;
    }
    this.#sorted = mergeSort(this.#sorted, isLessLoaded);
  }

  /** Its weight is still that by which it was put in order. */
  #takeOut(placed: Placed): void {
    this.#sorted.splice(this.#firstNotBefore(placed), 1);
    placed.isSorted = false;
  }

  #firstNotBefore(weight: NodeLoad): number {
    let from = 0;
    let to = this.#sorted.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      const other = this.#sorted[middle];
      if (other !== undefined && isLessLoaded(other, weight)) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

/** A node with its weight. */
export interface OrderedNode extends NodeLoad {
  readonly view: NodeSnapshot;
}

/** Its weight is the one by which it was put in order: that of the view may be another by now. */
interface Placed extends OrderedNode {
  view: NodeSnapshot;
  share: number;
  tasks: number;
  isSorted: boolean;
  isTouched: boolean;
}

const shareNow = ({ view }: Placed): number =>
  dominantShare(view, view.reserved.nanoCpus, view.reserved.memoryBytes);

const hasMoved = (placed: Placed): boolean =>
  !placed.isSorted || placed.tasks !== placed.view.taskCount || placed.share !== shareNow(placed);

function weigh(placed: Placed): void {
  placed.share = shareNow(placed);
  placed.tasks = placed.view.taskCount;
}

/** How heavily a node is used by the tasks of all services: what placement looks at once a service is spread. */
export interface NodeLoad {
  readonly id: string;
  /** Orders ids faster than comparing them, see `idRankOf`. */
  readonly idRank: number;
  /** The larger of the reserved shares of its processors and its memory. */
  readonly share: number;
  /** Tasks of all services that occupy it. */
  readonly tasks: number;
}

/** The least reserved first, then the one with the fewest tasks, then the smallest id. */
export const isLessLoaded: Before<NodeLoad> = (a, b) => {
  if (a.share !== b.share) return a.share < b.share;
  if (a.tasks !== b.tasks) return a.tasks < b.tasks;
  if (a.idRank !== b.idRank) return a.idRank < b.idRank;
  return a.id < b.id;
};

export function dominantShare({ node }: NodeSnapshot, nanoCpus: number, memoryBytes: number): number {
  return Math.max(
    shareOf(nanoCpus, node.description?.nanoCpus ?? 0),
    shareOf(memoryBytes, node.description?.memoryBytes ?? 0),
  );
}

const shareOf = (reserved: number, capacity: number): number => (capacity > 0 ? reserved / capacity : 0);

/** As many characters of 7 bits as fit into an exact number. */
const RANKED_CHARACTERS = 7;
const RANK_BASE = 128;

/**
 * A number that is never greater for a smaller id; ids of one number have to be compared. Most nodes of a new cluster
 * are alike but for their ids, and comparing text is several times as slow.
 */
export function idRankOf(id: string): number {
  let rank = 0;
  let isExact = true;
  for (let at = 0; at < RANKED_CHARACTERS; at += 1) {
    const code: number = isExact && at < id.length ? id.charCodeAt(at) : 0;
    rank = rank * RANK_BASE + Math.min(code, RANK_BASE - 1);
    isExact &&= code < RANK_BASE - 1;
  }
  return rank;
}
