import type { GroupedNodeCounts, NodeCounts } from "../model/task-index.js";

/** Node counts derived from base counts by changes on a few nodes. Does not copy or scan the base. */
export class ChangedCounts implements GroupedNodeCounts {
  readonly #base: GroupedNodeCounts;
  readonly #changes: ReadonlyMap<string, number>;

  /** @param base must not change while this object is in use */
  constructor(base: GroupedNodeCounts, changes: ReadonlyMap<string, number>) {
    this.#base = base;
    this.#changes = changes;
  }

  get(nodeId: string): number | undefined {
    const baseCount = this.#base.get(nodeId);
    const change = this.#changes.size === 0 ? undefined : this.#changes.get(nodeId);
    if (change === undefined) return baseCount;
    const count = (baseCount ?? 0) + change;
    return count === 0 ? undefined : count;
  }

  get nodesByTaskCount(): ReadonlyMap<number, number> {
    const nodesByTaskCount = new Map(this.#base.nodesByTaskCount);
    const addNodes = (taskCount: number, nodeDelta: 1 | -1): void => {
      const nodes = (nodesByTaskCount.get(taskCount) ?? 0) + nodeDelta;
      if (nodes === 0 || taskCount === 0) {
        nodesByTaskCount.delete(taskCount);
      } else {
        nodesByTaskCount.set(taskCount, nodes);
      }
    };
    for (const [nodeId, change] of this.#changes) {
      const count = this.#base.get(nodeId) ?? 0;
      addNodes(count, -1);
      addNodes(count + change, 1);
    }
    return nodesByTaskCount;
  }

  *[Symbol.iterator](): Iterator<readonly [string, number]> {
    for (const [nodeId, count] of this.#base) {
      const changed = count + (this.#changes.get(nodeId) ?? 0);
      if (changed !== 0) yield [nodeId, changed];
    }
    for (const [nodeId, count] of this.#changes) {
      if (this.#base.get(nodeId) === undefined && count !== 0) yield [nodeId, count];
    }
  }
}

function isGrouped(counts: NodeCounts): counts is GroupedNodeCounts {
  return "nodesByTaskCount" in counts;
}

/** The nodes that accept tasks, as their number and the IDs of all other nodes. */
export interface AcceptingNodes {
  /** Number of nodes that accept tasks. */
  readonly acceptingCount: number;
  /** Nodes that do not accept tasks. */
  readonly unschedulableNodeIds: Iterable<string>;
}

/**
 * Returns a lower bound of the number of tasks on each accepting node, without scanning the nodes.
 *
 * The bound is only above 0 when all `acceptingCount` nodes are known to have tasks.
 */
export function minTasksPerNode(
  counts: NodeCounts,
  { acceptingCount, unschedulableNodeIds }: AcceptingNodes,
): number {
  if (!isGrouped(counts)) return 0;
  let nodesWithTasks = 0;
  let minTasks = Number.POSITIVE_INFINITY;
  for (const [taskCount, nodes] of counts.nodesByTaskCount) {
    nodesWithTasks += nodes;
    minTasks = Math.min(minTasks, taskCount);
  }
  for (const nodeId of unschedulableNodeIds) {
    if (counts.get(nodeId) !== undefined) nodesWithTasks -= 1;
  }
  return nodesWithTasks === acceptingCount && nodesWithTasks > 0 ? minTasks : 0;
}
