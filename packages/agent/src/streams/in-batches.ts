/** A person who follows a log does not notice the wait; a log of a million lines becomes a few thousand messages. */
const WINDOW_MS = 30;
const MAX_COUNT = 500;
const MAX_BYTES = 256 * 1024;

const OVER = Symbol("the window is over");

/** Gathers what comes close together. Reads on only when the last batch was taken. */
export async function* inBatches<T>(
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
        // A failure ends the batch; it is thrown by the next turn, after the batch was taken.
        const arrival = pending.catch((): typeof OVER => OVER);
        if (batch.length >= MAX_COUNT || bytes >= MAX_BYTES) break;
        const next = await Promise.race([arrival, window.over]);
        if (next === OVER || next.done) break;
        batch.push(next.value);
        bytes += sizeOf(next.value);
      }
      window.close();
      yield batch;
    }
  } finally {
    void iterator.return?.()?.catch(() => {});
  }
}

function openWindow(): { readonly over: Promise<typeof OVER>; readonly close: () => void } {
  let close = (): void => {};
  const over = new Promise<typeof OVER>((resolve) => {
    const timer = setTimeout(() => resolve(OVER), WINDOW_MS);
    close = () => clearTimeout(timer);
  });
  return { over, close };
}
