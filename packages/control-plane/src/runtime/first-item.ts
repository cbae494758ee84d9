import { abortable, linkSignals } from "./abort.js";
import type { Clock } from "./clock.js";

export interface FirstItemOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Returns the error to reject with when nothing arrives in time. */
  readonly timeoutError: () => Error;
}

/**
 * Returns the first item of a stream, or undefined if the stream is empty.
 *
 * @throws the timeout error, or the reason of `signal`
 */
export async function firstItem<T>(
  items: AsyncIterator<T>,
  { clock, timeoutMs, timeoutError }: FirstItemOptions,
  signal: AbortSignal,
): Promise<T | undefined> {
  const link = linkSignals(signal);
  const cancelTimeout = clock.after(timeoutMs, () => link.abort(timeoutError()));
  try {
    const next = await abortable(items.next(), link.signal);
    return next.done ? undefined : next.value;
  } finally {
    cancelTimeout();
    link.unlink();
  }
}
