import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, type ReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, statfs, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { allocateChunk, BerthError, shortenChunk } from "@berth/proto";
import { invalidImageError, isSha256Digest, writeBytes } from "@berth/proto/images";
import { raceSignal } from "../runtime/race-signal.js";
import { isMissing, mebibytes } from "./layer-files.js";
import { LayerWriter, PARTIAL_SUFFIX } from "./layer-writer.js";

/** Size of the disk space that transfers leave free for everything else on the host. */
const RESERVED_BYTES = 256 * 1024 * 1024;
/**
 * Maximum size of the buffered input of a write. Docker's output arrives in chunks of 64 KiB, and those that wait are
 * written at once.
 */
const WRITE_BUFFER_BYTES = 4 * 1024 * 1024;
/** Size of the chunks that are read. */
const CHUNK_BYTES = 256 * 1024;
const LAYER_FILE = /^[a-f0-9]{64}$/;
const PARTIAL_FILE = /^[a-f0-9]{64}\.partial$/;

/** A layer in the store. */
export interface StoredLayer {
  readonly digest: string;
  readonly bytes: number;
  /** When the layer was last used, in ms since the epoch. */
  readonly usedMs: number;
}

interface StoredFile extends StoredLayer {
  readonly path: string;
  readonly isComplete: boolean;
}

/**
 * Stores image layers as files named by their digests. A layer is kept for a while after its image is in Docker, so
 * that other nodes can fetch it: Docker only exports whole images.
 *
 * An incomplete layer keeps its bytes, so that an interrupted transfer can continue.
 */
export class LayerStore {
  readonly #directory: string;
  readonly #maxBytes: number;
  readonly #maxLayerBytes: number;
  /** The layers that are being written, by digest. Each promise resolves when the writer has finished. */
  readonly #writing = new Map<string, Promise<void>>();
  /** Number of calls of `hold` whose returned functions have not been called. */
  #holds = 0;

  /**
   * @param maxBytes maximum total size of the layers, above which `trim` removes some
   * @param maxLayerBytes maximum size of one layer
   */
  constructor(directory: string, maxBytes: number, maxLayerBytes = Number.POSITIVE_INFINITY) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#maxLayerBytes = maxLayerBytes;
  }

  /** Returns all complete layers. */
  async list(): Promise<readonly StoredLayer[]> {
    const files = await this.#files();
    return files.filter(({ isComplete }) => isComplete);
  }

  /**
   * Prevents `removeUnused` from removing layers until the returned function is called. A transfer needs all layers of
   * an image when it ends.
   */
  hold(): () => void {
    this.#holds += 1;
    return () => {
      this.#holds -= 1;
    };
  }

  /**
   * Removes the layers, complete or not, that `isKept` does not keep and that were last used at `sinceMs` or before.
   * Returns their digests.
   */
  async removeUnused(isKept: (digest: string) => boolean, sinceMs: number): Promise<readonly string[]> {
    if (this.#holds > 0) return [];
    const removed: string[] = [];
    for (const { digest, path, usedMs } of await this.#files()) {
      if (isKept(digest) || usedMs > sinceMs) continue;
      await rm(path, { force: true });
      removed.push(digest);
    }
    return removed;
  }

  /** Marks a complete layer as used and returns its size, or undefined if the layer does not exist. */
  async sizeOf(digest: string): Promise<number | undefined> {
    const path = this.#path(digest);
    try {
      const { size } = await stat(path);
      const now = new Date();
      await utimes(path, now, now);
      return size;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Reads a complete layer from an offset. */
  read(digest: string, offset = 0): ReadStream {
    return createReadStream(this.#path(digest), { start: offset, highWaterMark: CHUNK_BYTES });
  }

  /**
   * Writes a complete layer from an offset to a stream. Uses the same two buffers for all chunks: with new buffers, V8
   * would collect garbage every 64 MiB, which takes longer than the transfer.
   */
  async writeTo(output: Writable, digest: string, offset = 0): Promise<void> {
    const file = await open(this.#path(digest));
    try {
      let [buffer, other] = [Buffer.allocUnsafe(CHUNK_BYTES), Buffer.allocUnsafe(CHUNK_BYTES)];
      let written = Promise.resolve();
      for (let position = offset; ; ) {
        const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, position);
        await written;
        if (bytesRead === 0) return;
        written = writeBytes(output, buffer.subarray(0, bytesRead));
        // The next iteration awaits the promise and throws its error.
        written.catch(() => {});
        [buffer, other] = [other, buffer];
        position += bytesRead;
      }
    } finally {
      await file.close();
    }
  }

  /** Yields the chunks of a complete layer from an offset, for messages to another node. */
  async *readChunks(digest: string, offset: number): AsyncGenerator<Buffer> {
    const file = await open(this.#path(digest));
    try {
      let position = offset;
      for (;;) {
        const chunk = allocateChunk(CHUNK_BYTES);
        const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, position);
        if (bytesRead === 0) return;
        yield bytesRead === CHUNK_BYTES ? chunk : shortenChunk(chunk, bytesRead);
        position += bytesRead;
      }
    } finally {
      await file.close();
    }
  }

  /** Returns the size of an incomplete layer, or 0 if there is none. */
  async partialSizeOf(digest: string): Promise<number> {
    try {
      return (await stat(`${this.#path(digest)}${PARTIAL_SUFFIX}`)).size;
    } catch (error) {
      if (isMissing(error)) return 0;
      throw error;
    }
  }

  /**
   * Opens a layer for writing after the bytes that an interrupted transfer has left. Waits while another transfer
   * writes the layer, and returns undefined if the layer is complete then.
   */
  async write(digest: string, signal: AbortSignal): Promise<LayerWriter | undefined> {
    for (let other = this.#writing.get(digest); other !== undefined; other = this.#writing.get(digest)) {
      await raceSignal(other, signal);
    }
    let resolve = (): void => {};
    this.#writing.set(
      digest,
      new Promise((settle) => {
        resolve = settle;
      }),
    );
    const release = (): void => {
      this.#writing.delete(digest);
      resolve();
    };
    try {
      if ((await this.sizeOf(digest)) !== undefined) {
        release();
        return undefined;
      }
      return await this.#openWriter(digest, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  async #openWriter(digest: string, release: () => void): Promise<LayerWriter> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    return LayerWriter.open({ digest, target: this.#path(digest), maxBytes: this.#maxLayerBytes }, release);
  }

  /** Stores a layer and returns its digest, which is computed from the content. */
  async add(content: AsyncIterable<Uint8Array>): Promise<string> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const path = join(this.#directory, `${process.hrtime.bigint()}.new`);
    const hash = createHash("sha256");
    try {
      const file = createWriteStream(path, { flags: "wx", mode: 0o600, highWaterMark: WRITE_BUFFER_BYTES });
      const hashed = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
        for await (const chunk of chunks) {
          hash.update(chunk);
          yield chunk;
        }
      };
      await pipeline(content, hashed, file);
      const digest = `sha256:${hash.digest("hex")}`;
      await rename(path, this.#path(digest));
      return digest;
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  /**
   * Checks that the disk has room for this many bytes.
   *
   * @throws BerthError BERTH_DISK_FAILED if they would fill the disk
   */
  async requireRoom(bytes: number): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = await statfs(this.#directory);
    if (bavail * bsize >= bytes + RESERVED_BYTES) return;
    const message = `the disk of ${this.#directory} has ${mebibytes(bavail * bsize)} MiB free, but the transfer needs ${mebibytes(bytes)} MiB in addition to ${mebibytes(RESERVED_BYTES)} MiB that stay free; free some disk space`;
    throw new BerthError({ code: "BERTH_DISK_FAILED", message });
  }

  /** Returns the total size of all layers, including incomplete ones, in bytes. */
  async diskUsage(): Promise<number> {
    return (await this.#files()).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Removes the least recently used layers until the total size is within the limit. */
  async trim(): Promise<void> {
    const files = await this.#files();
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    for (const file of files.sort((a, b) => a.usedMs - b.usedMs)) {
      if (bytes <= this.#maxBytes) return;
      await rm(file.path, { force: true });
      bytes -= file.bytes;
    }
  }

  /** Removes files that an earlier run of the agent left before it knew their digests. */
  async clean(): Promise<void> {
    for (const name of await this.#names()) {
      if (!LAYER_FILE.test(name) && !PARTIAL_FILE.test(name)) await rm(join(this.#directory, name));
    }
  }

  async #files(): Promise<StoredFile[]> {
    const files: StoredFile[] = [];
    for (const name of await this.#names()) {
      const digest = `sha256:${name.slice(0, 64)}`;
      const isBeingWritten = this.#writing.has(digest);
      if (isBeingWritten || !(LAYER_FILE.test(name) || PARTIAL_FILE.test(name))) continue;
      const path = join(this.#directory, name);
      try {
        const { size, mtimeMs } = await stat(path);
        const isComplete = LAYER_FILE.test(name);
        files.push({ digest, path, bytes: size, usedMs: Math.round(mtimeMs), isComplete });
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
    return files;
  }

  async #names(): Promise<readonly string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  #path(digest: string): string {
    if (!isSha256Digest(digest)) {
      throw invalidImageError(`${JSON.stringify(digest.slice(0, 100))} is not a digest`);
    }
    return join(this.#directory, digest.slice("sha256:".length));
  }
}
