interface Seen {
  readonly value: number;
  readonly owner: string;
}

/**
 * Counters of the kernel begin anew when what they belong to is made anew, and go with it. Their sums here only grow,
 * by what has been counted between two looks. No clock, no effect.
 */
export class CounterAccumulator {
  #seen: ReadonlyMap<string, Seen> = new Map();
  readonly #sums = new Map<string, number>();

  /**
   * Takes over what all counters say at one moment; those that are not among them are gone.
   * @param ownerOf to whose sum a counter adds; one that nobody owns any more goes on adding where it did
   */
  update(counters: ReadonlyMap<string, number>, ownerOf: (counter: string) => string | undefined): void {
    const seen = new Map<string, Seen>();
    for (const [counter, value] of counters) {
      const before = this.#seen.get(counter);
      const owner = ownerOf(counter) ?? before?.owner;
      if (owner === undefined) continue;
      const hasBegunAnew = before === undefined || value < before.value;
      this.#sums.set(owner, this.sumOf(owner) + (hasBegunAnew ? value : value - before.value));
      seen.set(counter, { value, owner });
    }
    this.#seen = seen;
  }

  sumOf(owner: string): number {
    return this.#sums.get(owner) ?? 0;
  }

  /** Forgets the sums of all others. */
  keepOnly(isKept: (owner: string) => boolean): void {
    for (const owner of this.#sums.keys()) if (!isKept(owner)) this.#sums.delete(owner);
  }
}
