/** Asks for the renewal of a certificate before its time, for example because another authority issues certificates now. */
export class RenewalDemand {
  #dueMs: number | undefined;
  #changed = new AbortController();

  /** When the certificate is to be renewed, in ms since the epoch. Undefined without a demand. */
  get dueMs(): number | undefined {
    return this.#dueMs;
  }

  /** Aborts with the next demand. */
  get changed(): AbortSignal {
    return this.#changed.signal;
  }

  /** Demands a renewal. An earlier demand for an earlier time stays. */
  request(dueMs: number): void {
    this.#dueMs = Math.min(this.#dueMs ?? dueMs, dueMs);
    this.#changed.abort();
    this.#changed = new AbortController();
  }

  /** Ends the demand, since the certificate was renewed. */
  fulfil(): void {
    this.#dueMs = undefined;
  }
}
