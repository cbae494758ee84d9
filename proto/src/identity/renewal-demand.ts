/** Requests the early renewal of a certificate, for example because a new authority issues certificates now. */
export class RenewalDemand {
  #dueMs: number | undefined;
  #changed = new AbortController();

  /** Time of the renewal, in ms since the epoch. Undefined without a demand. */
  get dueMs(): number | undefined {
    return this.#dueMs;
  }

  /** Aborts with the next demand. */
  get changed(): AbortSignal {
    return this.#changed.signal;
  }

  /** Demands a renewal. An existing demand for an earlier time stays. */
  request(dueMs: number): void {
    this.#dueMs = Math.min(this.#dueMs ?? dueMs, dueMs);
    this.#changed.abort();
    this.#changed = new AbortController();
  }

  /** Clears the demand after a renewal. */
  fulfil(): void {
    this.#dueMs = undefined;
  }
}
