import type { Node } from "@berth/proto";
import type { NodeSnapshot } from "../model/snapshot.js";
import { type Before, dropFirst, heapify, reorderFirst } from "./heap.js";
import { attributeOf } from "./node-attribute.js";
import type { NodeCounts } from "./service-load.js";

/** Many items of which the best can be taken, which changes it, again and again. */
export interface Pool<T> {
  readonly best: T | undefined;
  /** Takes the best one; another may be the best then. */
  take(): void;
}

/** How many tasks of a service the nodes of a group have, by the groups that it is made of. Changes with each take. */
export interface Group {
  count: number;
  readonly parts: Map<string, Group>;
}

/** A pool of the items that are in the same group at each level. */
export interface Leaf<T> {
  /** The groups that it is in, the first level first. All leaves of a tree have as many. */
  readonly path: readonly string[];
  readonly pool: Pool<T>;
}

/** How to choose among groups and among items. */
export interface TreeOrder<T> {
  /** What a take does to the counts: 1 to fill up the emptiest groups first, -1 to empty the fullest. */
  readonly step: 1 | -1;
  readonly before: Before<T>;
}

/**
 * A pool whose items are in groups of groups. The best item is of the best group of the first level, of the best
 * group of the second level within that, and so on; equal groups are told apart by their best items. A heap at each
 * level: a take costs the logarithm of the number of groups, whatever their sizes.
 */
export class SpreadTree<T> implements Pool<T> {
  readonly #root: Tree<T>;
  readonly #step: 1 | -1;
  readonly #before: Before<Tree<T>>;
  /** Whether the groups on the way to the best item have yet to find their places after a take. */
  #isUnsettled = false;

  /** `counts` gains the groups that are new to it, and follows what is taken. */
  constructor(leaves: readonly Leaf<T>[], counts: Group, order: TreeOrder<T>) {
    this.#step = order.step;
    this.#before = treeBefore(order);
    this.#root = grow(leaves, { group: counts, level: 0 }, this.#before);
  }

  /** Another is looked for only now, as finding it may cost more than what was taken. */
  get best(): T | undefined {
    this.#settle();
    return bestOf(this.#root);
  }

  take(): void {
    this.#settle();
    takeFrom(this.#root, this.#step);
    this.#isUnsettled = true;
  }

  #settle(): void {
    if (this.#isUnsettled) settle(this.#root, this.#before);
    this.#isUnsettled = false;
  }
}

/** Makes leaves of what pools are made of. */
export function leavesOf<Item, T>(
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
    const known = leaves.get(key);
    if (known === undefined) leaves.set(key, { path, members: [item] });
    else known.members.push(item);
  }
  return [...leaves.values()].map(({ path, members }) => ({ path, pool: poolOf(members) }));
}

export const emptyGroup = (): Group => ({ count: 0, parts: new Map() });

/** Counts tasks into a group and into the parts that the path names. */
export function countInto(group: Group, path: readonly string[], count: number): void {
  group.count += count;
  let at = group;
  for (const value of path) {
    at = partOf(at, value);
    at.count += count;
  }
}

/** The counts of the parts that the path names, the first level first. */
export function countsAlong(group: Group, path: readonly string[]): readonly number[] {
  let at: Group | undefined = group;
  return path.map((value) => {
    at = at?.parts.get(value);
    return at?.count ?? 0;
  });
}

type Tree<T> =
  | { readonly kind: "leaf"; readonly group: Group; readonly pool: Pool<T> }
  | { readonly kind: "branch"; readonly group: Group; readonly parts: Tree<T>[] };

interface Place {
  readonly group: Group;
  readonly level: number;
}

/** Leaves out the groups that have nothing to take. */
function grow<T>(leaves: readonly Leaf<T>[], { group, level }: Place, before: Before<Tree<T>>): Tree<T> {
  const [first] = leaves;
  if (leaves.length === 1 && first?.path.length === level) return { kind: "leaf", group, pool: first.pool };
  const byValue = new Map<string, Leaf<T>[]>();
  for (const leaf of leaves) {
    const value = leaf.path[level] ?? "";
    const others = byValue.get(value);
    if (others === undefined) byValue.set(value, [leaf]);
    else others.push(leaf);
  }
  const parts = [...byValue]
    .map(([value, members]) => grow(members, { group: partOf(group, value), level: level + 1 }, before))
    .filter((part) => bestOf(part) !== undefined);
  heapify(parts, before);
  return { kind: "branch", group, parts };
}

function partOf(group: Group, value: string): Group {
  const known = group.parts.get(value);
  if (known !== undefined) return known;
  const part = emptyGroup();
  group.parts.set(value, part);
  return part;
}

function bestOf<T>(tree: Tree<T>): T | undefined {
  if (tree.kind === "leaf") return tree.pool.best;
  const [part] = tree.parts;
  return part === undefined ? undefined : bestOf(part);
}

function takeFrom<T>(tree: Tree<T>, step: 1 | -1): void {
  tree.group.count += step;
  if (tree.kind === "leaf") {
    tree.pool.take();
    return;
  }
  const [part] = tree.parts;
  if (part !== undefined) takeFrom(part, step);
}

function settle<T>(tree: Tree<T>, before: Before<Tree<T>>): void {
  if (tree.kind === "leaf") return;
  const [part] = tree.parts;
  if (part === undefined) return;
  settle(part, before);
  if (bestOf(part) === undefined) dropFirst(tree.parts, before);
  else reorderFirst(tree.parts, before);
}

/** Both are of one level, so both are leaves or both are branches. */
function treeBefore<T>(order: TreeOrder<T>): Before<Tree<T>> {
  const compare: Before<Tree<T>> = (a, b) => {
    if (a.group.count !== b.group.count) return a.group.count < b.group.count === order.step > 0;
    if (a.kind === "branch" && b.kind === "branch") {
      const [firstOfA] = a.parts;
      const [firstOfB] = b.parts;
      return firstOfA !== undefined && firstOfB !== undefined && compare(firstOfA, firstOfB);
    }
    const bestOfA = bestOf(a);
    const bestOfB = bestOf(b);
    return bestOfA !== undefined && bestOfB !== undefined && order.before(bestOfA, bestOfB);
  };
  return compare;
}

/** The group that a node is in at each level of a spread: nodes without the label are one group of their own. */
export const spreadGroup = (node: Node | undefined, attribute: string | undefined): string =>
  node === undefined || attribute === undefined ? "" : (attributeOf(node, attribute) ?? "");

/** Its groups at all levels, the first level first. */
export const spreadPath = (node: Node | undefined, attributes: readonly string[]): readonly string[] =>
  attributes.map((attribute) => spreadGroup(node, attribute));

/** How the tasks of a service, counted by node, are spread; those on nodes that take no more count as well. */
export function countGroups(countByNode: NodeCounts, pathOf: (nodeId: string) => readonly string[]): Group {
  const groups = emptyGroup();
  for (const [nodeId, count] of countByNode) countInto(groups, pathOf(nodeId), count);
  return groups;
}

/** For a node: the tasks of its group at each level, and those of the node itself. */
export function spreadCounts(
  countByNode: NodeCounts,
  nodes: ReadonlyMap<string, NodeSnapshot>,
  attributes: readonly string[],
): (nodeId: string) => readonly number[] {
  const pathOf = (nodeId: string): readonly string[] => spreadPath(nodes.get(nodeId)?.node, attributes);
  const groups = attributes.length === 0 ? emptyGroup() : countGroups(countByNode, pathOf);
  return (nodeId) => [...countsAlong(groups, pathOf(nodeId)), countByNode.get(nodeId) ?? 0];
}
