import { once } from "node:events";
import type { Readable, Writable } from "node:stream";

/**
 * Yields the messages of a gRPC stream. Leaving the loop early does not destroy the stream, since the other direction of
 * a bidirectional call may still be in use.
 */
export async function* readMessages<T>(stream: Readable): AsyncGenerator<T> {
  for await (const message of stream.iterator({ destroyOnReturn: false })) yield message as T;
}

/** Writes all messages and waits when the peer reads too slowly. Does not end the stream. */
export async function writeMessages<T>(
  stream: Writable,
  messages: AsyncIterable<T>,
  signal: AbortSignal,
): Promise<void> {
  const iterator = messages[Symbol.asyncIterator]();
  const unless = createAbortRace(signal);
  try {
    for (;;) {
      const next = await unless.aborted(iterator.next());
      if (next.done) return;
      if (!stream.write(next.value)) await once(stream, "drain", { signal });
    }
  } finally {
    unless.forget();
    // The producer is not waited for: it may wait until its own signal aborts.
    void iterator.return?.()?.catch(() => {});
  }
}

/**
 * Waits for promises one after the other, and rejects when the signal aborts. Adds one listener for all of them:
 * `Promise.race` would add a reaction to the abort promise for every message of a stream that lives for weeks.
 */
function createAbortRace(signal: AbortSignal): {
  readonly aborted: <T>(promise: Promise<T>) => Promise<T>;
  readonly forget: () => void;
} {
  let reject: (reason: unknown) => void = () => {};
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  return {
    aborted: (promise) =>
      new Promise((resolve, rejectThis) => {
        if (signal.aborted) return rejectThis(signal.reason);
        reject = rejectThis;
        promise.then(resolve, rejectThis);
      }),
    forget: () => signal.removeEventListener("abort", onAbort),
  };
}
