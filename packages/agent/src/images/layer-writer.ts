import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { invalidImageError } from "@berth/proto/images";
import { isMissing, mebibytes } from "./layer-files.js";

/** Appended to the name of a layer that is not complete. */
export const PARTIAL_SUFFIX = ".partial";
/** Size of each of the two buffers of a writer. */
const CHUNK_BYTES = 256 * 1024;

interface LayerFile {
  readonly digest: string;
  /** The path of the complete layer. */
  readonly target: string;
  /** Maximum size of the layer. */
  readonly maxBytes: number;
}

interface WriterOptions extends LayerFile {
  readonly file: FileHandle;
  /** The path of the incomplete layer. */
  readonly path: string;
  /** The hash of the bytes before the offset. */
  readonly hash: Hash;
  readonly offset: number;
}

/**
 * Writes one layer to a file whose name ends with {@link PARTIAL_SUFFIX}. `finish` gives the file its final name, and
 * `suspend` leaves it to a later writer.
 */
export class LayerWriter {
  readonly #options: WriterOptions;
  readonly #release: () => void;
  #offset: number;
  /** Collects bytes, since each write to the disk costs as much as copying some 10 KiB. */
  #buffer: Buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  #buffered = 0;
  /** The other buffer. Undefined while it is being written, and after an error. */
  #spare: Buffer | undefined = Buffer.allocUnsafe(CHUNK_BYTES);
  /** The write in progress. */
  #written: Promise<void> = Promise.resolve();

  private constructor(options: WriterOptions, release: () => void) {
    this.#options = options;
    this.#offset = options.offset;
    this.#release = release;
  }

  /**
   * Opens a layer for writing after the bytes that an interrupted transfer has left.
   *
   * @param release called when the writer has finished or is suspended
   */
  static async open(layer: LayerFile, release: () => void): Promise<LayerWriter> {
    const path = `${layer.target}${PARTIAL_SUFFIX}`;
    const hash = createHash("sha256");
    const offset = await hashFile(path, hash);
    const file = await open(path, "a", 0o600);
    return new LayerWriter({ ...layer, file, path, hash, offset }, release);
  }

  /** The number of bytes that the layer has so far. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Adds bytes. Returns a promise if the caller must wait for the disk before the next call. The promise rejects with
   * BERTH_IMAGE_INVALID if the layer becomes too large.
   */
  write(bytes: Uint8Array): Promise<void> | undefined {
    const { digest, maxBytes } = this.#options;
    if (this.#offset + bytes.length > maxBytes) {
      return Promise.reject(invalidImageError(`${digest} is larger than ${mebibytes(maxBytes)} MiB`));
    }
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
      // A later transfer continues after the bytes that were written.
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

  /** Starts writing the collected bytes. Returns a promise if earlier bytes have to be written first. */
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

/** Hashes a file and returns its size, or 0 if the file does not exist. */
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
