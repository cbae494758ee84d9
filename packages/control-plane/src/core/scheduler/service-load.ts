import type { Task } from "@berth/proto";
import type { LevelCounts, NodeCounts, StableTasks } from "../model/task-index.js";
import { nodesToAvoid } from "./avoidance.js";
import { occupiesNode } from "./resource-request.js";

/** The distribution of a service over the nodes before placement, by node id. */
export interface ServiceLoad {
  /** Tasks that stay. Spreading counts these. */
  readonly tasksByNode: NodeCounts;
  /** Tasks that occupy the node, those about to stop included. The limit per node counts these. */
  readonly occupiedByNode: NodeCounts;
  /** Recent failures on the nodes that are chosen after all others (see `nodesToAvoid`). */
  readonly avoided: ReadonlyMap<string, number>;
}

export interface ServiceLoadContext {
  readonly isCurrent: (task: Task) => boolean;
  readonly now: number;
  /** Tasks of the service in addition to the given ones. */
  readonly stable: StableTasks | undefined;
}

/** Returns the load of a service of whose tasks `staying` remain. */
export function serviceLoadOf(
  tasks: readonly Task[],
  staying: readonly Task[],
  { stable, ...context }: ServiceLoadContext,
): ServiceLoad {
  return new TaskLoad(tasks, stable, {
    tasksByNode: withStable(staying, stable),
    // Stable tasks have not failed, so only the others can make a node avoided.
    avoided: nodesToAvoid(tasks, context),
  });
}

/** Counts the occupying tasks on demand: only services with a limit per node need them. */
class TaskLoad implements ServiceLoad {
  readonly tasksByNode: NodeCounts;
  readonly avoided: ReadonlyMap<string, number>;
  readonly #tasks: readonly Task[];
  readonly #stable: StableTasks | undefined;
  #occupiedByNode: NodeCounts | undefined;

  constructor(
    tasks: readonly Task[],
    stable: StableTasks | undefined,
    { tasksByNode, avoided }: Pick<ServiceLoad, "tasksByNode" | "avoided">,
  ) {
    this.#tasks = tasks;
    this.#stable = stable;
    this.tasksByNode = tasksByNode;
    this.avoided = avoided;
  }

  get occupiedByNode(): NodeCounts {
    this.#occupiedByNode ??= withStable(this.#tasks.filter(occupiesNode), this.#stable);
    return this.#occupiedByNode;
  }
}

function withStable(tasks: readonly Task[], stable: StableTasks | undefined): NodeCounts {
  const counts = new Map<string, number>();
  for (const { nodeId } of tasks) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
  if (stable === undefined) return counts;
  for (const { nodeId } of stable.leaving) counts.set(nodeId, (counts.get(nodeId) ?? 0) - 1);
  return new ChangedCounts(stable.countByNode, counts);
}

/** Counts that differ from a base on a few nodes. The base is neither copied nor scanned. */
export class ChangedCounts implements LevelCounts {
  readonly #base: LevelCounts;
  readonly #changes: ReadonlyMap<string, number>;

  /** The base must not change while this object is in use. */
  constructor(base: LevelCounts, changes: ReadonlyMap<string, number>) {
    this.#base = base;
    this.#changes = changes;
  }

  get(nodeId: string): number | undefined {
    const count = this.#base.get(nodeId);
    const change = this.#changes.size === 0 ? undefined : this.#changes.get(nodeId);
    return change === undefined ? count : (count ?? 0) + change || undefined;
  }

  get levels(): ReadonlyMap<number, number> {
    const levels = new Map(this.#base.levels);
    const add = (level: number, by: 1 | -1): void => {
      const nodes = (levels.get(level) ?? 0) + by;
      if (nodes === 0 || level === 0) levels.delete(level);
      else levels.set(level, nodes);
    };
    for (const [nodeId, change] of this.#changes) {
      const count = this.#base.get(nodeId) ?? 0;
      add(count, -1);
      add(count + change, 1);
    }
    return levels;
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

const hasLevels = (counts: NodeCounts): counts is LevelCounts => "levels" in counts;

/**
 * Returns a lower bound of the tasks that every accepting node has, without scanning the nodes.
 *
 * The bound is above 0 only when all `acceptingCount` nodes are known to have tasks.
 */
export function minTasksPerNode(
  counts: NodeCounts,
  {
    acceptingCount,
    closed,
  }: {
    readonly acceptingCount: number;
    /** Nodes that do not accept tasks. */
    readonly closed: Iterable<string>;
  },
): number {
  if (!hasLevels(counts)) return 0;
  let nodes = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const [level, size] of counts.levels) {
    nodes += size;
    least = Math.min(least, level);
  }
  for (const nodeId of closed) if (counts.get(nodeId) !== undefined) nodes -= 1;
  return nodes === acceptingCount && nodes > 0 ? least : 0;
}
