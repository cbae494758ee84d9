import { createHash, type Hash } from "node:crypto";
import { createReadStream, createWriteStream, type ReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { allocateChunk, BerthError, shortenChunk } from "@berth/proto";
import { invalidImageError, isSha256Digest, writeAll } from "@berth/proto/images";
import { raceSignal } from "../runtime/race-signal.js";

/** Size of the disk space that transfers leave free for everything else on the host. */
const RESERVED_BYTES = 256 * 1024 * 1024;
/**
 * Maximum size of the buffered input of a write. Docker's output arrives in chunks of 64 KiB, and those that wait are
 * written at once.
 */
const WRITE_BUFFER_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;
const PARTIAL_SUFFIX = ".partial";
const LAYER_FILE = /^[a-f0-9]{64}$/;
const PARTIAL_FILE = /^[a-f0-9]{64}\.partial$/;

/** A layer in the store. */
export interface StoredLayer {
  readonly digest: string;
  readonly bytes: number;
  readonly usedMs: number;
}

interface StoredFile extends StoredLayer {
  readonly path: string;
  readonly isComplete: boolean;
}

/**
 * Layers of images as files, named by their digests. A layer stays for a while after its image is in Docker: other nodes
 * get it from here, since Docker exports whole images only.
 *
 * A layer that is not complete keeps its bytes, so that a transfer continues where it was interrupted.
 */
export class LayerStore {
  readonly #directory: string;
  readonly #maxBytes: number;
  readonly #maxLayerBytes: number;
  /** The layers that are being written. Each promise resolves when its writer is done. */
  readonly #writing = new Map<string, Promise<void>>();
  /** Number of transfers that are running. */
  #holders = 0;

  /**
   * @param maxBytes size from which on `trim` removes layers
   * @param maxLayerBytes limit of one layer
   */
  constructor(directory: string, maxBytes: number, maxLayerBytes = Number.POSITIVE_INFINITY) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#maxLayerBytes = maxLayerBytes;
  }

  /** Returns all complete layers, with the times in ms at which they were used last. */
  async list(): Promise<readonly StoredLayer[]> {
    const files = await this.#files();
    return files.filter(({ isComplete }) => isComplete);
  }

  /**
   * Keeps `removeUnused` from removing layers until the returned function is called: a transfer needs all layers of an image
   * at its end.
   */
  hold(): () => void {
    this.#holders += 1;
    return () => {
      this.#holders -= 1;
    };
  }

  /** Removes the complete and the interrupted layers that are not kept and were not used since. Returns their digests. */
  async removeUnused(isKept: (digest: string) => boolean, sinceMs: number): Promise<readonly string[]> {
    if (this.#holders > 0) return [];
    const removed: string[] = [];
    for (const { digest, path, usedMs } of await this.#files()) {
      if (isKept(digest) || usedMs > sinceMs) continue;
      await rm(path, { force: true });
      removed.push(digest);
    }
    return removed;
  }

  /** Returns the size of a complete layer, and marks it as used, or undefined if it is missing. */
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
   * Writes a complete layer from an offset to a stream. Uses the same two buffers for all of it: new ones for each chunk would
   * make V8 collect garbage every 64 MiB, which takes longer than the transfer.
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
        written = writeAll(output, buffer.subarray(0, bytesRead));
        // The next turn gets the error.
        written.catch(() => {});
        [buffer, other] = [other, buffer];
        position += bytesRead;
      }
    } finally {
      await file.close();
    }
  }

  /** Yields a complete layer from an offset, for the messages to another node. */
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

  /** Returns how many bytes an interrupted transfer has left. */
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
   * writes the layer, and returns undefined if that has completed it.
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
    const target = this.#path(digest);
    const path = `${target}${PARTIAL_SUFFIX}`;
    const hash = createHash("sha256");
    const offset = await hashFile(path, hash);
    const file = await open(path, "a", 0o600);
    const maxBytes = this.#maxLayerBytes;
    return new LayerWriter({ digest, file, path, target, hash, offset, maxBytes }, release);
  }

  /** Stores a layer of unknown digest, and returns the digest. */
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

  /** @throws BerthError BERTH_DISK_FAILED if this many bytes would fill the disk */
  async requireRoom(bytes: number): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = await statfs(this.#directory);
    if (bavail * bsize >= bytes + RESERVED_BYTES) return;
    const message = `the disk of ${this.#directory} has ${mebibytes(bavail * bsize)} MiB free, but the transfer needs ${mebibytes(bytes)} MiB in addition to ${mebibytes(RESERVED_BYTES)} MiB that stay free; free some disk space`;
    throw new BerthError({ code: "BERTH_DISK_FAILED", message });
  }

  /** Returns the size of all layers, also of interrupted ones, in bytes. */
  async diskUsage(): Promise<number> {
    return (await this.#files()).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Removes the layers that were used least recently, as long as all of them are larger than the limit. */
  async trim(): Promise<void> {
    const files = await this.#files();
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    for (const file of files.sort((a, b) => a.usedMs - b.usedMs)) {
      if (bytes <= this.#maxBytes) return;
      await rm(file.path, { force: true });
      bytes -= file.bytes;
    }
  }

  /** Removes unfinished, unnamed layers of earlier runs of the agent. */
  async clean(): Promise<void> {
    for (const name of await this.#names()) {
      if (!LAYER_FILE.test(name) && !PARTIAL_FILE.test(name)) await rm(join(this.#directory, name));
    }
  }

  async #files(): Promise<StoredFile[]> {
    const files: StoredFile[] = [];
    for (const name of await this.#names()) {
      const digest = `sha256:${name.slice(0, 64)}`;
      const isBusy = this.#writing.has(digest);
      if (isBusy || !(LAYER_FILE.test(name) || PARTIAL_FILE.test(name))) continue;
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
    if (!isSha256Digest(digest))
      throw invalidImageError(`${JSON.stringify(digest.slice(0, 100))} is not a digest`);
    return join(this.#directory, digest.slice("sha256:".length));
  }
}

interface WriterOptions {
  readonly digest: string;
  readonly file: FileHandle;
  readonly path: string;
  readonly target: string;
  readonly hash: Hash;
  readonly offset: number;
  readonly maxBytes: number;
}

/** Writes one layer. Ends with `finish`, or with `suspend`, after which a later writer continues. */
export class LayerWriter {
  readonly #options: WriterOptions;
  readonly #release: () => void;
  #offset: number;
  /** Bytes are collected here, since each write to the disk costs as much as copying some 10 KiB. */
  #buffer: Buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  #buffered = 0;
  /** The other buffer. Undefined while it is being written, and after an error. */
  #spare: Buffer | undefined = Buffer.allocUnsafe(CHUNK_BYTES);
  /** The write in progress. */
  #written: Promise<void> = Promise.resolve();

  constructor(options: WriterOptions, release: () => void) {
    this.#options = options;
    this.#offset = options.offset;
    this.#release = release;
  }

  /** The number of bytes that the layer has so far. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Copies bytes. Returns a promise when the next ones have to wait for the disk, which rejects with BERTH_IMAGE_INVALID when
   * the layer becomes too large
   */
  write(bytes: Uint8Array): Promise<void> | undefined {
    const { digest, maxBytes } = this.#options;
    if (this.#offset + bytes.length > maxBytes)
      return Promise.reject(invalidImageError(`${digest} is larger than ${mebibytes(maxBytes)} MiB`));
    this.#offset += bytes.length;
    return this.#append(bytes);
  }

  /**
   * Completes the layer.
   *
   * @throws BerthError BERTH_IMAGE_INVALID if its digest is wrong; the layer is then removed
   */
  async finish(): Promise<void> {
    const { digest, path, target, hash } = this.#options;
    try {
      await this.#close();
      const actual = `sha256:${hash.digest("hex")}`;
      if (actual === digest) {
        await rename(path, target);
        return;
      }
      await rm(path, { force: true });
      throw invalidImageError(`layer ${digest} has the digest ${actual}`);
    } finally {
      this.#release();
    }
  }

  /** Keeps the bytes for a later transfer. */
  async suspend(): Promise<void> {
    try {
      // A later transfer reads what is there.
      await this.#close().catch(() => {});
    } finally {
      this.#release();
    }
  }

  #append(bytes: Uint8Array): Promise<void> | undefined {
    const part = bytes.subarray(0, CHUNK_BYTES - this.#buffered);
    this.#buffer.set(part, this.#buffered);
    this.#buffered += part.length;
    if (this.#buffered < CHUNK_BYTES) return undefined;
    const rest = bytes.subarray(part.length);
    return this.#flush()?.then(() => this.#append(rest)) ?? this.#append(rest);
  }

  async #close(): Promise<void> {
    try {
      await this.#flush();
      await this.#written;
    } finally {
      await this.#options.file.close();
    }
  }

  /** Starts to write the collected bytes. Returns a promise when the earlier ones have to be written first. */
  #flush(): Promise<void> | undefined {
    if (this.#spare === undefined) return this.#written.then(() => this.#flush());
    const { file, hash } = this.#options;
    const full = this.#buffer;
    const bytes = full.subarray(0, this.#buffered);
    hash.update(bytes);
    this.#buffer = this.#spare;
    this.#spare = undefined;
    this.#buffered = 0;
    this.#written = file.writeFile(bytes).then(() => {
      this.#spare = full;
    });
    // The next write gets the error.
    this.#written.catch(() => {});
    return undefined;
  }
}

/** Hashes a file, and returns its size: 0 when it is missing. */
async function hashFile(path: string, hash: Hash): Promise<number> {
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  return bytes;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / (1024 * 1024));
}
