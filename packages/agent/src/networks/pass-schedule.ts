import { setTimeout as sleep } from "node:timers/promises";

/**
 * Interval between two full passes. They repair changes that other programs made to the host's devices or to Docker's
 * networks.
 */
const RESYNC_INTERVAL_MS = 30_000;
/** Delay before a failed pass is repeated. It doubles with each failure. */
const RETRY_MIN_MS = 500;
/** Maximum delay before a failed pass is repeated. */
const RETRY_MAX_MS = 10_000;

/** What a pass covers: all networks, or only the bridge ports of containers. */
export type PassKind = "full" | "ports";

/** Decides when the next reconciliation pass starts: on request, after a back-off when passes fail, or every 30 s. */
export class PassSchedule {
  #consecutiveFailures = 0;
  #requested: PassKind | undefined;
  #wake: () => void = () => {};

  /** Whether a full pass was requested since the last pass started. */
  get isFullPassRequested(): boolean {
    return this.#requested === "full";
  }

  /** Requests a pass as soon as the current one has ended. A full pass includes the ports. */
  request(kind: PassKind): void {
    if (this.#requested !== "full") this.#requested = kind;
    this.#wake();
  }

  /** Records the result of a pass, which determines the delay until the next one. */
  recordResult({ hasSucceeded }: { readonly hasSucceeded: boolean }): void {
    this.#consecutiveFailures = hasSucceeded ? 0 : this.#consecutiveFailures + 1;
  }

  /** Returns the kind of the next pass when the pass is due, or when the signal is aborted. */
  async waitForNextPass(signal: AbortSignal): Promise<PassKind> {
    if (this.#requested === undefined) await this.#pause(signal);
    const kind = this.#requested ?? "full";
    this.#requested = undefined;
    return kind;
  }

  async #pause(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
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
