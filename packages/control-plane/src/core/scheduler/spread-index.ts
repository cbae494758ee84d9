import type { NodeSnapshot, OrderedNodeGroup } from "../model/snapshot.js";
import { acceptsTasks } from "./filters.js";
import { LoadOrder } from "./load-order.js";
import { spreadPath } from "./spread-counts.js";

/** Maximum number of maintained indexes. The services of a cluster rarely use more than two or three. */
const MAX_INDEXES = 8;

/** The nodes that have the same value of each spread attribute. */
export interface NodeGroup extends OrderedNodeGroup {
  readonly loadOrder: LoadOrder;
}

interface CountedGroup extends NodeGroup {
  readonly key: string;
  /** Number of nodes in the group, including nodes that accept no tasks. */
  nodeCount: number;
}

/** Indexes of the cluster's nodes, one for each list of spread attributes that services use. */
export class SpreadIndexes {
  readonly #nodes: ReadonlyMap<string, NodeSnapshot>;
  readonly #indexes = new Map<string, SpreadIndex>();

  /** Takes the live map of all nodes. Every change of the map must be reported with `put`, `delete` or `touch`. */
  constructor(nodes: ReadonlyMap<string, NodeSnapshot>) {
    this.#nodes = nodes;
  }

  /** Returns the nodes grouped by these attributes, first level first. Without attributes, all nodes are one group. */
  groupedBy(attributes: readonly string[]): SpreadIndex {
    const key = JSON.stringify(attributes);
    const existing = this.#indexes.get(key);
    if (existing !== undefined) return existing;
    const index = new SpreadIndex(attributes);
    for (const snapshot of this.#nodes.values()) index.put(snapshot);
    const [oldest] = this.#indexes.keys();
    if (this.#indexes.size === MAX_INDEXES && oldest !== undefined) this.#indexes.delete(oldest);
    this.#indexes.set(key, index);
    return index;
  }

  put(snapshot: NodeSnapshot): void {
    for (const index of this.#indexes.values()) index.put(snapshot);
  }

  delete(nodeId: string): void {
    for (const index of this.#indexes.values()) index.delete(nodeId);
  }

  /** Marks a node whose load may have changed. */
  touch(nodeId: string): void {
    for (const index of this.#indexes.values()) index.groupOf(nodeId)?.loadOrder.touch(nodeId);
  }
}

/** All nodes, grouped by their values of the spread attributes and ordered by load within each group. */
export class SpreadIndex {
  readonly #attributes: readonly string[];
  readonly #groups = new Map<string, CountedGroup>();
  readonly #byNode = new Map<string, CountedGroup>();

  constructor(attributes: readonly string[]) {
    this.#attributes = attributes;
  }

  get groups(): Iterable<NodeGroup> {
    return this.#groups.values();
  }

  /** Number of nodes that accept tasks. */
  get acceptingCount(): number {
    let count = 0;
    for (const { loadOrder } of this.#groups.values()) count += loadOrder.size;
    return count;
  }

  /** Returns the group of a node, even if the node accepts no tasks. */
  groupOf(nodeId: string): NodeGroup | undefined {
    return this.#byNode.get(nodeId);
  }

  /** Returns the node's value at each level. The values of an unknown node are empty. */
  pathOf(nodeId: string): readonly string[] {
    return this.#byNode.get(nodeId)?.path ?? spreadPath(undefined, this.#attributes);
  }

  put(snapshot: NodeSnapshot): void {
    const { id } = snapshot.node;
    const group = this.#groupAt(spreadPath(snapshot.node, this.#attributes));
    if (this.#byNode.get(id) !== group) {
      this.delete(id);
      this.#byNode.set(id, group);
      group.nodeCount += 1;
    }
    if (acceptsTasks(snapshot)) {
      group.loadOrder.put(snapshot);
    } else {
      group.loadOrder.delete(id);
    }
  }

  delete(nodeId: string): void {
    const group = this.#byNode.get(nodeId);
    if (group === undefined) return;
    this.#byNode.delete(nodeId);
    group.loadOrder.delete(nodeId);
    group.nodeCount -= 1;
    if (group.nodeCount === 0) this.#groups.delete(group.key);
  }

  #groupAt(path: readonly string[]): CountedGroup {
    const key = JSON.stringify(path);
    const existing = this.#groups.get(key);
    if (existing !== undefined) return existing;
    const group = { key, path, loadOrder: new LoadOrder(), nodeCount: 0 };
    this.#groups.set(key, group);
    return group;
  }
}
