import { type Freeze, nextFreeze } from "../core/node-health/freeze.js";

/** The nodes that take no new connections for now, in this leader's memory alone. */
export class Suspects {
  readonly #onsetMs = new Map<string, number>();
  #freeze: Freeze | undefined;

  get freeze(): Freeze | undefined {
    return this.#freeze;
  }

  get nodeIds(): Iterable<string> {
    return this.#onsetMs.keys();
  }

  has(nodeId: string): boolean {
    return this.#onsetMs.has(nodeId);
  }

  /** True when that is news. */
  set(nodeId: string, isSuspect: boolean, now: number): boolean {
    if (isSuspect === this.#onsetMs.has(nodeId)) return false;
    if (isSuspect) this.#onsetMs.set(nodeId, now);
    else this.#onsetMs.delete(nodeId);
    return true;
  }

  /** Thinks the freeze over; true when it began or ended. */
  review(countUp: () => number, now: number): boolean {
    const before = this.#freeze;
    // Most changes are about one node in a cluster that is well: nobody needs to be counted then.
    const isOne = this.#onsetMs.size < 2;
    this.#freeze = isOne
      ? undefined
      : nextFreeze(before, { onsetsMs: [...this.#onsetMs.values()], upNodes: countUp(), now });
    return (before === undefined) !== (this.#freeze === undefined);
  }
}
