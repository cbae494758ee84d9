import { setTimeout as sleep } from "node:timers/promises";

/** Repairs changes that other programs made to the host's devices or to Docker's networks. */
const RESYNC_INTERVAL_MS = 30_000;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;

/** Decides when the next reconciliation pass starts: on request, after a back-off when passes fail, or every 30 s. */
export class PassSchedule {
  #consecutiveFailures = 0;
  #isRequested = false;
  #wake: () => void = () => {};

  /** Whether a pass was requested since the last one started. */
  get isRequested(): boolean {
    return this.#isRequested;
  }

  /** Requests a pass as soon as the current one has ended. */
  request(): void {
    this.#isRequested = true;
    this.#wake();
  }

  /** Records the result of a pass, which determines the delay until the next one. */
  recordResult({ hasSucceeded }: { readonly hasSucceeded: boolean }): void {
    this.#consecutiveFailures = hasSucceeded ? 0 : this.#consecutiveFailures + 1;
  }

  /** Resolves when the next pass is due, or when the signal fires. */
  async waitForNextPass(signal: AbortSignal): Promise<void> {
    if (!this.#isRequested) await this.#pause(signal);
    this.#isRequested = false;
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const pause = new AbortController();
    const endPause = (): void => pause.abort();
    this.#wake = endPause;
    signal.addEventListener("abort", endPause, { once: true });
    await sleep(this.#delayMs, undefined, { signal: pause.signal }).catch(() => {});
    signal.removeEventListener("abort", endPause);
    this.#wake = () => {};
  }

  get #delayMs(): number {
    if (this.#consecutiveFailures === 0) return RESYNC_INTERVAL_MS;
    return Math.min(RETRY_MIN_MS * 2 ** (this.#consecutiveFailures - 1), RETRY_MAX_MS);
  }
}
