import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";

const CHUNK_BYTES = 256 * 1024;

/** A layer in a temporary file. */
export interface SpooledLayer {
  readonly digest: string;
  /** Yields the bytes from an offset, and removes the file in the end. */
  read(offset: number): AsyncIterable<Buffer>;
  remove(): Promise<void>;
}

/** Temporary files of layers whose digests are known only when they are complete. */
export class LayerSpool {
  #folder: string | undefined;
  #count = 0;

  async add(content: Readable): Promise<SpooledLayer> {
    this.#folder ??= await mkdtemp(join(tmpdir(), "berth-push-"));
    this.#count += 1;
    const path = join(this.#folder, `layer-${this.#count}`);
    const hash = createHash("sha256");
    const file = await open(path, "wx", 0o600);
    try {
      for await (const chunk of content) {
        hash.update(chunk);
        await file.writeFile(chunk);
      }
    } finally {
      await file.close();
    }
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
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
  }
}
