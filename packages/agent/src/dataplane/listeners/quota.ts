/** Counts resources of the ingress process in use, such as connections, against a limit that may change. */
export class Quota {
  readonly #limit: () => number;
  #used = 0;

  /** @param limit returns the current limit */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  /** Returns false when the limit is reached. After true, call `release` once. */
  tryAcquire(): boolean {
    if (this.#used >= this.#limit()) return false;
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
