import type { Task } from "@berth/proto";
import type { StableTasks } from "../orchestrator/stable-tasks.js";
import { nodesToAvoid } from "./avoidance.js";
import type { ServiceLoad } from "./place.js";
import { occupiesNode } from "./resource-request.js";

export interface LoadContext {
  readonly isCurrent: (task: Task) => boolean;
  readonly now: number;
  /** Tasks of the service besides those given: all of them stay where they run. */
  readonly settled?: StableTasks | undefined;
}

/** How a service sits on its nodes, when of its tasks these will stay. */
export function serviceLoadOf(
  tasks: readonly Task[],
  staying: readonly Task[],
  context: LoadContext,
): ServiceLoad {
  return new TaskStats(tasks, staying, context);
}

/** Only a limit per node asks for what is held, and most services have none. */
class TaskStats implements ServiceLoad {
  readonly #tasks: readonly Task[];
  readonly #settled: StableTasks | undefined;
  readonly tasksByNode: NodeCounts;
  readonly avoided: ReadonlyMap<string, number>;
  #held: NodeCounts | undefined;

  constructor(tasks: readonly Task[], staying: readonly Task[], { settled, ...at }: LoadContext) {
    this.#tasks = tasks;
    this.#settled = settled;
    this.tasksByNode = this.#withSettled(staying);
    // What runs well did not fail, so nothing settled speaks against its node.
    this.avoided = nodesToAvoid(tasks, at);
  }

  get occupiedByNode(): NodeCounts {
    this.#held ??= this.#withSettled(this.#tasks.filter(occupiesNode));
    return this.#held;
  }

  #withSettled(tasks: readonly Task[]): NodeCounts {
    const counts = new Map<string, number>();
    for (const { nodeId } of tasks) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
    if (this.#settled === undefined) return counts;
    const { countByNode: calm, leaving } = this.#settled;
    for (const { nodeId } of leaving) counts.set(nodeId, (counts.get(nodeId) ?? 0) - 1);
    return new ChangedCounts(calm, counts);
  }
}

/** How many there are on each node, by its id; nothing is said of nodes without any. */
export interface NodeCounts extends Iterable<readonly [string, number]> {
  get(nodeId: string): number | undefined;
}

/** Counts that also know how many nodes have how many. */
export interface LevelCounts extends NodeCounts {
  /** Number of nodes, by how many each has (from 1). */
  readonly levels: ReadonlyMap<number, number>;
}

export const hasLevels = (counts: NodeCounts): counts is LevelCounts => "levels" in counts;

/** Counts that differ from others on a few nodes: these need neither be copied nor be looked through. */
export class ChangedCounts implements LevelCounts {
  readonly #base: LevelCounts;
  readonly #changes: ReadonlyMap<string, number>;

  /** `base` has to stay as it is for as long as this is used. */
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
      const now = count + (this.#changes.get(nodeId) ?? 0);
      if (now !== 0) yield [nodeId, now];
    }
    for (const [nodeId, count] of this.#changes) {
      if (this.#base.get(nodeId) === undefined && count !== 0) yield [nodeId, count];
    }
  }
}

/**
 * The least that any of the nodes that take tasks has, as far as that is known without looking at them: 0 unless there
 * are `open` such nodes and as many that have some.
 */
export function minTasksPerNode(
  counts: NodeCounts,
  { open, closed }: { readonly open: number; readonly closed: Iterable<string> },
): number {
  if (!hasLevels(counts)) return 0;
  let nodes = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const [level, size] of counts.levels) {
    nodes += size;
    least = Math.min(least, level);
  }
  for (const nodeId of closed) if (counts.get(nodeId) !== undefined) nodes -= 1;
  return nodes === open && nodes > 0 ? least : 0;
}
