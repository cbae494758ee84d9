import { setImmediate as nextTurn } from "node:timers/promises";
import { allocateChunk } from "./chunk-codec.js";

/** Maximum size of a gathered message, which costs hardly more CPU time than a small one. */
const MAX_BYTES = 256 * 1024;

/** Bytes of one of several streams, such as the output or the errors of a command. */
export interface StreamChunk<Stream extends string> {
  readonly stream: Stream;
  readonly bytes: Buffer;
}

/**
 * Joins the chunks of a stream that arrive in one turn of the event loop, or while an earlier chunk is sent, up to 256
 * KiB. Fast streams thus need few messages, and slow ones are not delayed. Reads at most 256 KiB ahead.
 *
 * @throws the error of the source, after what it has yielded
 */
export async function* gatherChunks<Stream extends string>(
  source: AsyncIterable<StreamChunk<Stream>>,
): AsyncGenerator<StreamChunk<Stream>> {
  const pending = new PendingChunks<Stream>();
  const iterator = source[Symbol.asyncIterator]();
  void pending.fill(iterator);
  try {
    while (await pending.hasMore()) {
      await nextTurn();
      yield pending.take();
    }
  } finally {
    pending.close();
    // Does not wait for the producer, and ignores its error, because the consumer has stopped.
    void iterator.return?.()?.catch(() => {});
  }
}

/** The chunks that have been read and not been taken. */
class PendingChunks<Stream extends string> {
  readonly #chunks: StreamChunk<Stream>[] = [];
  #bytes = 0;
  #end: { readonly error: unknown } | undefined;
  #wakeReader: () => void = () => {};
  #wakeTaker: () => void = () => {};

  /** Reads until the source ends, or `close` is called. */
  async fill(iterator: AsyncIterator<StreamChunk<Stream>>): Promise<void> {
    try {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        this.#chunks.push(next.value);
        this.#bytes += next.value.bytes.length;
        this.#wakeTaker();
        while (this.#bytes >= MAX_BYTES && this.#end === undefined) {
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve;
          });
        }
        if (this.#end !== undefined) return;
      }
      this.#end ??= { error: undefined };
    } catch (error) {
      this.#end ??= { error };
    }
    this.#wakeTaker();
  }

  close(): void {
    this.#end ??= { error: undefined };
    this.#wakeReader();
  }

  /**
   * Waits for a chunk. Returns false after the last one.
   *
   * @throws the error of the source
   */
  async hasMore(): Promise<boolean> {
    while (this.#chunks.length === 0) {
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return false;
      await new Promise<void>((resolve) => {
        this.#wakeTaker = resolve;
      });
    }
    return true;
  }

  /** Removes and returns the chunks of one stream from the first one on, as one chunk. There must be one. */
  take(): StreamChunk<Stream> {
    const [first] = this.#chunks;
    if (first === undefined) throw new Error("there is no chunk to take");
    let count = 0;
    let size = 0;
    for (const { stream, bytes } of this.#chunks) {
      if (stream !== first.stream || (count > 0 && size + bytes.length > MAX_BYTES)) break;
      count += 1;
      size += bytes.length;
    }
    const gathered = this.#chunks.splice(0, count);
    this.#bytes -= size;
    this.#wakeReader();
    return count === 1 ? first : { stream: first.stream, bytes: join(gathered, size) };
  }
}

function join(chunks: readonly { readonly bytes: Buffer }[], size: number): Buffer {
  const joined = allocateChunk(size);
  let offset = 0;
  for (const { bytes } of chunks) {
    joined.set(bytes, offset);
    offset += bytes.length;
  }
  return joined;
}
