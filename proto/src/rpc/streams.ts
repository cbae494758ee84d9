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
  try {
    for (;;) {
      const next = await unlessAborted(iterator.next(), signal);
      if (next.done) return;
      if (!stream.write(next.value)) await once(stream, "drain", { signal });
    }
  } finally {
    // The producer is told, but not waited for: it may be asleep until its own signal fires.
    void iterator.return?.()?.catch(() => {});
  }
}

/** Not `Promise.race`: on a stream that lives for weeks it would keep a reaction per message on the abort promise. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
