import { type Before, dropFirst, heapify, reorderFirst } from "./heap.js";
import { type Group, getOrCreateSubgroup } from "./spread-counts.js";

/** A collection from which the best item is taken repeatedly. Taking an item may change its rank. */
export interface Pool<T> {
  /** The best item. Undefined if nothing is left. */
  readonly best: T | undefined;
  /** Takes the best item once. Another item may be the best afterwards. */
  take(): void;
}

/** The items of one group at the last level. */
export interface Leaf<T> {
  /** The group's value at each level, first level first. All leaves of a tree have paths of the same length. */
  readonly path: readonly string[];
  readonly pool: Pool<T>;
}

/** Groups items into leaves by their paths. */
export function groupIntoLeaves<Item, T>(
  items: Iterable<Item>,
  {
    pathOf,
    poolOf,
  }: { readonly pathOf: (item: Item) => readonly string[]; readonly poolOf: (items: Item[]) => Pool<T> },
): readonly Leaf<T>[] {
  const leaves = new Map<string, { readonly path: readonly string[]; readonly members: Item[] }>();
  for (const item of items) {
    const path = pathOf(item);
    const key = JSON.stringify(path);
    const existing = leaves.get(key);
    if (existing === undefined) {
      leaves.set(key, { path, members: [item] });
    } else {
      existing.members.push(item);
    }
  }
  return [...leaves.values()].map(({ path, members }) => ({ path, pool: poolOf(members) }));
}

/** The order among groups and among items. */
export interface SpreadOrder<T> {
  /** Change of the counts per take: 1 fills the emptiest groups first, -1 empties the fullest groups first. */
  readonly step: 1 | -1;
  readonly before: Before<T>;
}

/**
 * A pool of items in nested groups.
 *
 * The best item belongs to the best group of the first level, within it to the best group of the second level, and so
 * on. Groups with equal counts are compared by their best items. Each level is a heap, so a take costs the logarithm of
 * the number of groups.
 */
export class SpreadTree<T> implements Pool<T> {
  readonly #root: Tree<T>;
  readonly #step: 1 | -1;
  readonly #before: Before<Tree<T>>;
  /** True after a take, until the groups of the taken item are moved to their new places. */
  #needsReorder = false;

  /** Each take updates `counts`. The constructor adds the groups of the leaves that `counts` does not contain. */
  constructor(leaves: readonly Leaf<T>[], counts: Group, order: SpreadOrder<T>) {
    this.#step = order.step;
    this.#before = treeBefore(order);
    this.#root = buildTree(leaves, { group: counts, level: 0 }, this.#before);
  }

  /** Reorders on demand, because finding the next best item may cost more than the take itself. */
  get best(): T | undefined {
    this.#reorder();
    return findBest(this.#root);
  }

  take(): void {
    this.#reorder();
    takeFrom(this.#root, this.#step);
    this.#needsReorder = true;
  }

  #reorder(): void {
    if (this.#needsReorder) reorderTree(this.#root, this.#before);
    this.#needsReorder = false;
  }
}

type Tree<T> =
  | { readonly kind: "leaf"; readonly group: Group; readonly pool: Pool<T> }
  | { readonly kind: "branch"; readonly group: Group; readonly children: Tree<T>[] };

interface TreeLevel {
  readonly group: Group;
  readonly level: number;
}

/** Builds the tree. Leaves out groups without items. */
function buildTree<T>(
  leaves: readonly Leaf<T>[],
  { group, level }: TreeLevel,
  before: Before<Tree<T>>,
): Tree<T> {
  const [first] = leaves;
  if (leaves.length === 1 && first?.path.length === level) return { kind: "leaf", group, pool: first.pool };
  const byValue = new Map<string, Leaf<T>[]>();
  for (const leaf of leaves) {
    const value = leaf.path[level] ?? "";
    const existing = byValue.get(value);
    if (existing === undefined) {
      byValue.set(value, [leaf]);
    } else {
      existing.push(leaf);
    }
  }
  const children = [...byValue]
    .map(([value, members]) => {
      const position = { group: getOrCreateSubgroup(group, value), level: level + 1 };
      return buildTree(members, position, before);
    })
    .filter((child) => findBest(child) !== undefined);
  heapify(children, before);
  return { kind: "branch", group, children };
}

function findBest<T>(tree: Tree<T>): T | undefined {
  if (tree.kind === "leaf") return tree.pool.best;
  const [child] = tree.children;
  return child === undefined ? undefined : findBest(child);
}

function takeFrom<T>(tree: Tree<T>, step: 1 | -1): void {
  tree.group.count += step;
  if (tree.kind === "leaf") {
    tree.pool.take();
    return;
  }
  const [child] = tree.children;
  if (child !== undefined) takeFrom(child, step);
}

function reorderTree<T>(tree: Tree<T>, before: Before<Tree<T>>): void {
  if (tree.kind === "leaf") return;
  const [child] = tree.children;
  if (child === undefined) return;
  reorderTree(child, before);
  if (findBest(child) === undefined) {
    dropFirst(tree.children, before);
  } else {
    reorderFirst(tree.children, before);
  }
}

/** Compares trees of the same level: either both are leaves or both are branches. */
function treeBefore<T>(order: SpreadOrder<T>): Before<Tree<T>> {
  const compare: Before<Tree<T>> = (a, b) => {
    if (a.group.count !== b.group.count) return a.group.count < b.group.count === order.step > 0;
    if (a.kind === "branch" && b.kind === "branch") {
      const [firstOfA] = a.children;
      const [firstOfB] = b.children;
      return firstOfA !== undefined && firstOfB !== undefined && compare(firstOfA, firstOfB);
    }
    const bestOfA = findBest(a);
    const bestOfB = findBest(b);
    return bestOfA !== undefined && bestOfB !== undefined && order.before(bestOfA, bestOfB);
  };
  return compare;
}
