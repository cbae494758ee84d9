import type { NodeSnapshot } from "../model/snapshot.js";
import { acceptsTasks } from "./filters.js";
import { LoadOrder } from "./load-order.js";
import { spreadPath } from "./spread.js";

/** So many ways of spreading are kept up to date; services hardly ever have more than two or three in all. */
const MAX_WAYS = 8;

/** The nodes with one value each of the attributes that a service is spread over. */
export interface NodeGroup {
  readonly path: readonly string[];
  /** Those of them that take tasks at all. */
  readonly order: LoadOrder;
}

interface CountedGroup extends NodeGroup {
  readonly key: string;
  /** Nodes, also those that take no tasks. */
  size: number;
}

/** The nodes of a cluster in order of load, for each way in which a service is spread a group at a time. */
export class SpreadIndexes {
  readonly #nodes: ReadonlyMap<string, NodeSnapshot>;
  readonly #ways = new Map<string, SpreadIndex>();

  /** `nodes`: all of them, always; each change of it is told. */
  constructor(nodes: ReadonlyMap<string, NodeSnapshot>) {
    this.#nodes = nodes;
  }

  /** The way of spreading over these attributes, the first one first; none: all nodes are one group. */
  by(attributes: readonly string[]): SpreadIndex {
    const key = JSON.stringify(attributes);
    const known = this.#ways.get(key);
    if (known !== undefined) return known;
    const way = new SpreadIndex(attributes);
    for (const view of this.#nodes.values()) way.put(view);
    const [oldest] = this.#ways.keys();
    if (this.#ways.size === MAX_WAYS && oldest !== undefined) this.#ways.delete(oldest);
    this.#ways.set(key, way);
    return way;
  }

  put(view: NodeSnapshot): void {
    for (const way of this.#ways.values()) way.put(view);
  }

  delete(nodeId: string): void {
    for (const way of this.#ways.values()) way.delete(nodeId);
  }

  /** To be called when what the tasks on a node take has changed. */
  touch(nodeId: string): void {
    for (const way of this.#ways.values()) way.groupOf(nodeId)?.order.touch(nodeId);
  }
}

/** All nodes in groups, by the values that they have of some attributes. */
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

  /** Nodes that take tasks, in all groups. */
  get openCount(): number {
    let count = 0;
    for (const { order } of this.#groups.values()) count += order.size;
    return count;
  }

  /** The group of a node, whether it takes tasks or not. */
  groupOf(nodeId: string): NodeGroup | undefined {
    return this.#byNode.get(nodeId);
  }

  /** Its value at each level; a node that is gone has none. */
  pathOf(nodeId: string): readonly string[] {
    return this.#byNode.get(nodeId)?.path ?? spreadPath(undefined, this.#attributes);
  }

  put(view: NodeSnapshot): void {
    const { id } = view.node;
    const group = this.#groupAt(spreadPath(view.node, this.#attributes));
    if (this.#byNode.get(id) !== group) {
      this.delete(id);
      this.#byNode.set(id, group);
      group.size += 1;
    }
    if (acceptsTasks(view)) group.order.put(view);
    else group.order.delete(id);
  }

  delete(nodeId: string): void {
    const group = this.#byNode.get(nodeId);
    if (group === undefined) return;
    this.#byNode.delete(nodeId);
    group.order.delete(nodeId);
    group.size -= 1;
    if (group.size === 0) this.#groups.delete(group.key);
  }

  #groupAt(path: readonly string[]): CountedGroup {
    const key = JSON.stringify(path);
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const group = { key, path, order: new LoadOrder(), size: 0 };
    this.#groups.set(key, group);
    return group;
  }
}
