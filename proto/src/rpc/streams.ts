import { once } from "node:events";
import type { Readable, Writable } from "node:stream";

/**
 * Messages of a gRPC stream as they arrive. Leaving the loop early does not destroy the stream: on a two-way call the
 * other direction may still be in use, and its owner ends it.
 */
export async function* readMessages<T>(stream: Readable): AsyncGenerator<T> {
  for await (const message of stream.iterator({ destroyOnReturn: false })) yield message as T;
}

/** Writes all messages, waiting whenever the peer reads more slowly than they come. Does not end the stream. */
export async function writeMessages<T>(
  stream: Writable,
  messages: AsyncIterable<T>,
  signal: AbortSignal,
): Promise<void> {
  const iterator = messages[Symbol.asyncIterator]();
  const unless = unlessAborted(signal);
  try {
    for (;;) {
      const next = await unless.aborted(iterator.next());
      if (next.done) return;
      if (!stream.write(next.value)) await once(stream, "drain", { signal });
    }
  } finally {
    unless.forget();
    // The producer is told, but not waited for: it may be asleep until its own signal fires.
    void iterator.return?.()?.catch(() => {});
  }
}

/**
 * Waits for one promise after the other, each rejected when the signal aborts. Not `Promise.race`: on a stream that
 * lives for weeks it would keep a reaction per message on the abort promise. One listener, however many messages.
 */
function unlessAborted(signal: AbortSignal): {
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
