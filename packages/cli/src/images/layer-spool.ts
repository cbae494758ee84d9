import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { SavedLayer } from "./saved-layer.js";

/** Size of a read. */
const CHUNK_BYTES = 256 * 1024;
/** Size of the write buffer. Docker's output arrives in chunks of 64 KiB, and waiting chunks are written together. */
const WRITE_BUFFER_BYTES = 4 * 1024 * 1024;

/** A layer in a temporary file. The file is removed when the layer has been read. */
export interface SpooledLayer extends SavedLayer {
  remove(): Promise<void>;
}

/** Temporary files for layers, whose digests are known only once they are complete. */
export class LayerSpool {
  #directory: string | undefined;
  #count = 0;

  async add(content: Readable): Promise<SpooledLayer> {
    this.#directory ??= await mkdtemp(join(tmpdir(), "berth-push-"));
    this.#count += 1;
    const path = join(this.#directory, `layer-${this.#count}`);
    const hash = createHash("sha256");
    const file = createWriteStream(path, { flags: "wx", mode: 0o600, highWaterMark: WRITE_BUFFER_BYTES });
    const hashed = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        hash.update(chunk);
        yield chunk;
      }
    };
    await pipeline(content, hashed, file);
    const remove = (): Promise<void> => rm(path, { force: true });
    return {
      digest: `sha256:${hash.digest("hex")}`,
      remove,
      async *read(offset) {
        try {
          yield* createReadStream(path, { start: offset, highWaterMark: CHUNK_BYTES });
        } finally {
          await remove();
        }
      },
    };
  }

  async close(): Promise<void> {
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }
}
