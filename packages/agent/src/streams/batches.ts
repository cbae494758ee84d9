/**
 * Time after an item in which further items are added to its batch. A reader of a log does not notice this delay, and a
 * log of a million lines becomes a few thousand messages.
 */
const WINDOW_MS = 30;
/** Maximum number of items in a batch. */
const MAX_COUNT = 500;
/** Maximum size of a batch. */
const MAX_BYTES = 256 * 1024;

const WINDOW_ENDED = Symbol("the window has ended");

/** Groups values that arrive within 30 ms of each other. Reads further only after the last batch was consumed. */
export async function* groupIntoBatches<T>(
  source: AsyncIterable<T>,
  sizeOf: (value: T) => number,
): AsyncGenerator<readonly T[]> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    let pending = iterator.next();
    for (;;) {
      const first = await pending;
      if (first.done) return;
      const batch = [first.value];
      let bytes = sizeOf(first.value);
      const window = openWindow();
      for (;;) {
        pending = iterator.next();
        // An error ends the batch. It is thrown after the batch was consumed, by the next iteration.
        const arrival = pending.catch((): typeof WINDOW_ENDED => WINDOW_ENDED);
        if (batch.length >= MAX_COUNT || bytes >= MAX_BYTES) break;
        const next = await Promise.race([arrival, window.timeout]);
        if (next === WINDOW_ENDED || next.done) break;
        batch.push(next.value);
        bytes += sizeOf(next.value);
      }
      window.close();
      yield batch;
    }
  } finally {
    // The source ends here in any case, so an error while it closes does not matter.
    void iterator.return?.()?.catch(() => {});
  }
}

function openWindow(): { readonly timeout: Promise<typeof WINDOW_ENDED>; readonly close: () => void } {
  let close = (): void => {};
  const timeout = new Promise<typeof WINDOW_ENDED>((resolve) => {
    const timer = setTimeout(() => resolve(WINDOW_ENDED), WINDOW_MS);
    close = () => clearTimeout(timer);
  });
  return { timeout, close };
}
