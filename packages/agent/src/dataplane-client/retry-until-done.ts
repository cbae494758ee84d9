import { setTimeout as sleep } from "node:timers/promises";

/** Delay before the first retry. It doubles with each retry. */
const FIRST_DELAY_MS = 500;
/** Maximum delay before a retry. */
const LONGEST_DELAY_MS = 30_000;

export interface RetryOptions {
  /** Called after each failure. Another attempt follows. */
  readonly onFailure: (reason: string) => void;
  /** Ends the attempts. */
  readonly signal: AbortSignal;
}

/**
 * Calls the effect until it succeeds, with exponential back-off from 0.5 s to 30 s, and returns its result. Returns
 * undefined if the signal is aborted first.
 */
export async function retryUntilDone<Result>(
  effect: () => Promise<Result>,
  { onFailure, signal }: RetryOptions,
): Promise<Result | undefined> {
  for (let delayMs = FIRST_DELAY_MS; !signal.aborted; delayMs = Math.min(2 * delayMs, LONGEST_DELAY_MS)) {
    try {
      return await effect();
    } catch (error) {
      if (signal.aborted) return undefined;
      onFailure(error instanceof Error ? error.message : String(error));
      // An abort ends the pause early, and the loop.
      await sleep(delayMs, undefined, { signal }).catch(() => {});
    }
  }
  return undefined;
}
