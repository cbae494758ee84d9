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
  { open, closed }: { readonly open: number; readonly closed: Iterable<string> | undefined },
): number {
  if (closed === undefined || !hasLevels(counts)) return 0;
  let nodes = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const [level, size] of counts.levels) {
    nodes += size;
    least = Math.min(least, level);
  }
  for (const nodeId of closed) if (counts.get(nodeId) !== undefined) nodes -= 1;
  return nodes === open && nodes > 0 ? least : 0;
}
