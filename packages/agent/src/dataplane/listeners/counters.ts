/** What one listener has done since it was opened. */
export interface Counters {
  total: number;
  active: number;
  failed: number;
  retried: number;
}

export function newCounters(): Counters {
  return { total: 0, active: 0, failed: 0, retried: 0 };
}

/** A share of the process's file descriptors: what goes beyond is refused, so that the rest keeps working. */
export class Quota {
  readonly #most: () => number;
  #used = 0;

  /** @param most as it is at the moment */
  constructor(most: () => number) {
    this.#most = most;
  }

  /** False when there is none left. Whoever got true calls `release` once. */
  take(): boolean {
    if (this.#used >= this.#most()) return false;
    this.#used += 1;
    return true;
  }

  release(): void {
    this.#used -= 1;
  }

  get used(): number {
    return this.#used;
  }
}
