/** How many there are on each node, by its id; nothing is said of nodes without any. */
export interface NodeCounts extends Iterable<readonly [string, number]> {
  get(nodeId: string): number | undefined;
}

/** Counts that differ from others on a few nodes: these need neither be copied nor be looked through. */
export class ChangedCounts implements NodeCounts {
  readonly #base: ReadonlyMap<string, number>;
  readonly #changes: ReadonlyMap<string, number>;

  /** `base` has to stay as it is for as long as this is used. */
  constructor(base: ReadonlyMap<string, number>, changes: ReadonlyMap<string, number>) {
    this.#base = base;
    this.#changes = changes;
  }

  get(nodeId: string): number | undefined {
    const count = this.#base.get(nodeId);
    const change = this.#changes.size === 0 ? undefined : this.#changes.get(nodeId);
    return change === undefined ? count : (count ?? 0) + change || undefined;
  }

  *[Symbol.iterator](): Iterator<readonly [string, number]> {
    for (const [nodeId, count] of this.#base) {
      const now = count + (this.#changes.get(nodeId) ?? 0);
      if (now !== 0) yield [nodeId, now];
    }
    for (const change of this.#changes) if (!this.#base.has(change[0]) && change[1] !== 0) yield change;
  }
}
