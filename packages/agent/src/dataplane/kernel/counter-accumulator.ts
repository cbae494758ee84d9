/** The value of a counter at the last update. */
interface Reading {
  readonly value: number;
  readonly owner: string;
}

/**
 * Turns kernel counters into sums per owner that only grow. A kernel counter restarts at 0 when its object is recreated,
 * and vanishes with the object.
 */
export class CounterAccumulator {
  #last: ReadonlyMap<string, Reading> = new Map();
  readonly #sums = new Map<string, number>();

  /**
   * Adds the increase of each counter since the last update to the sum of its owner. Counters that are missing are
   * forgotten; when one returns, it counts as new.
   *
   * @param ownerOf returns the owner of a counter; when undefined, the counter keeps its last owner
   */
  update(counters: ReadonlyMap<string, number>, ownerOf: (counter: string) => string | undefined): void {
    const readings = new Map<string, Reading>();
    for (const [counter, value] of counters) {
      const before = this.#last.get(counter);
      const owner = ownerOf(counter) ?? before?.owner;
      if (owner === undefined) continue;
      const wasReset = before === undefined || value < before.value;
      this.#sums.set(owner, this.getSum(owner) + (wasReset ? value : value - before.value));
      readings.set(counter, { value, owner });
    }
    this.#last = readings;
  }

  getSum(owner: string): number {
    return this.#sums.get(owner) ?? 0;
  }

  /** Drops the sums of all other owners. */
  keepOnly(isKept: (owner: string) => boolean): void {
    for (const owner of this.#sums.keys()) if (!isKept(owner)) this.#sums.delete(owner);
  }
}
