export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
}

/** Computes the delays between retries. Each delay is twice the previous one, up to a maximum. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Returns the delay before the next retry. */
  nextMs(): number {
    const { firstMs, maxMs } = this.#options;
    const delayMs = Math.min(maxMs, firstMs * 2 ** this.#failures);
    this.#failures += 1;
    return delayMs;
  }

  /** Starts again with the shortest delay. */
  reset(): void {
    this.#failures = 0;
  }
}
