import type { Readable } from "node:stream";
import { allocateChunk } from "@berth/proto";

/** A layer of an image, read from `docker save` for an upload. */
export interface SavedLayer {
  readonly digest: string;
  /** Yields the bytes from an offset. Can be called once. */
  read(offset: number): AsyncIterable<Buffer>;
}

/**
 * Size of a message. Docker's output arrives in chunks of 64 KiB, and each message costs CPU time on the client, the
 * server and the node.
 */
const CHUNK_BYTES = 256 * 1024;

/** A layer that is sent while Docker writes it. The receiver checks that it has the digest. */
export class StreamedLayer implements SavedLayer {
  readonly digest: string;
  readonly #content: Readable;
  #settle: () => void = () => {};
  readonly #done: Promise<void>;

  constructor(digest: string, content: Readable) {
    this.digest = digest;
    this.#content = content;
    this.#done = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  async *read(offset: number): AsyncGenerator<Buffer> {
    try {
      yield* joinChunks(skipBytes(this.#content, offset));
    } finally {
      this.#settle();
    }
  }

  /**
   * Resolves when the layer has been read, or when reading it has failed or was stopped.
   *
   * @throws the signal's reason
   */
  async whenRead(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#done.then(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
    });
  }
}

async function* skipBytes(chunks: AsyncIterable<Buffer>, count: number): AsyncGenerator<Buffer> {
  let toSkip = count;
  for await (const chunk of chunks) {
    if (toSkip < chunk.length) yield chunk.subarray(toSkip);
    toSkip = Math.max(0, toSkip - chunk.length);
  }
}

async function* joinChunks(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    bytes += chunk.length;
    if (bytes < CHUNK_BYTES) continue;
    yield joinParts(parts, bytes);
    parts = [];
    bytes = 0;
  }
  if (bytes > 0) yield joinParts(parts, bytes);
}

function joinParts(parts: readonly Buffer[], bytes: number): Buffer {
  const chunk = allocateChunk(bytes);
  let offset = 0;
  for (const part of parts) offset += part.copy(chunk, offset);
  return chunk;
}
