import { once } from "node:events";
import type { Readable, Writable } from "node:stream";

/**
 * Yields the messages of a gRPC stream. Leaving the loop early does not destroy the stream, since the other direction of
 * a bidirectional call may still be in use.
 */
export async function* readMessages<T>(stream: Readable): AsyncGenerator<T> {
  for await (const message of stream.iterator({ destroyOnReturn: false })) yield message as T;
}

/** Writes all messages, waiting when the peer reads slowly. Does not end the stream. */
export async function writeMessages<T>(
  stream: Writable,
  messages: AsyncIterable<T>,
  signal: AbortSignal,
): Promise<void> {
  const write = async (message: T): Promise<void> => {
    if (!stream.write(message)) await once(stream, "drain", { signal });
  };
  await forEachMessage(messages, write, signal);
}

/**
 * Passes all messages to `write`, one after the other.
 *
 * @throws the signal's reason when it aborts
 */
export async function forEachMessage<T>(
  messages: AsyncIterable<T>,
  write: (message: T) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const iterator = messages[Symbol.asyncIterator]();
  const abortRace = createAbortRace(signal);
  try {
    for (;;) {
      const next = await abortRace.race(iterator.next());
      if (next.done) return;
      await write(next.value);
    }
  } finally {
    abortRace.dispose();
    // Does not wait for the producer, which may be blocked until its own signal is aborted.
    void iterator.return?.()?.catch(() => {});
  }
}

/**
 * Races promises, one after another, against the abort of a signal. Uses one listener for all of them: `Promise.race`
 * would add a reaction to the abort promise for each message of a stream that stays open for weeks.
 */
export function createAbortRace(signal: AbortSignal): {
  /** Settles like the promise, or rejects with the signal's reason when it aborts first. */
  readonly race: <T>(promise: Promise<T>) => Promise<T>;
  readonly dispose: () => void;
} {
  let rejectPending: (reason: unknown) => void = () => {};
  const onAbort = (): void => rejectPending(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  return {
    race: (promise) =>
      new Promise((resolve, reject) => {
        // Also after an abort: an unhandled rejection would end the process.
        promise.then(resolve, reject);
        if (signal.aborted) return reject(signal.reason);
        rejectPending = reject;
      }),
    dispose: () => signal.removeEventListener("abort", onAbort),
  };
}
