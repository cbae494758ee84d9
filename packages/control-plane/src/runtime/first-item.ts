import { onAbort } from "./abort.js";
import type { Clock } from "./clock.js";

export interface FirstItemOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Returns the error to reject with when nothing arrives in time. */
  readonly timeoutError: () => Error;
}

/**
 * Returns the first item of a stream; undefined when the stream is empty.
 * @throws the timeout error, or the reason of `signal`
 */
export function firstItem<T>(
  items: AsyncIterator<T>,
  { clock, timeoutMs, timeoutError }: FirstItemOptions,
  signal: AbortSignal,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const cancelTimeout = clock.after(timeoutMs, () => reject(timeoutError()));
    const stopWatching = onAbort(signal, () => reject(signal.reason));
    items
      .next()
      .then((next) => resolve(next.done ? undefined : next.value), reject)
      .finally(() => {
        cancelTimeout();
        stopWatching();
      });
  });
}
