/** Delay before the first retry. It doubles with each retry. */
const FIRST_DELAY_MS = 1_000;
/** Maximum delay before a retry. */
const LONGEST_DELAY_MS = 30_000;

/** Repeats an action after a failure, with exponential back-off from 1 s to 30 s. */
export class RetryTimer {
  readonly #action: () => void;
  readonly #signal: AbortSignal;
  #delayMs = FIRST_DELAY_MS;
  #timer: NodeJS.Timeout | undefined;

  /** @param signal when aborted, prevents further calls of the action */
  constructor(action: () => void, signal: AbortSignal) {
    this.#action = action;
    this.#signal = signal;
  }

  /** Calls the action after the next delay. */
  schedule(): void {
    clearTimeout(this.#timer);
    if (this.#signal.aborted) return;
    this.#timer = setTimeout(() => {
      if (!this.#signal.aborted) this.#action();
    }, this.#delayMs);
    this.#timer.unref?.();
    this.#delayMs = Math.min(LONGEST_DELAY_MS, this.#delayMs * 2);
  }

  /** Called after a success. Cancels a scheduled call and starts again with the shortest delay. */
  reset(): void {
    clearTimeout(this.#timer);
    this.#delayMs = FIRST_DELAY_MS;
  }
}
