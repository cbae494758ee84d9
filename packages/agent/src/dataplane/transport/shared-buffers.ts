import type { LibuvRequest, LibuvWriteRequest, TcpBinding, TcpHandle } from "../../runtime/tcp-binding.js";
import type { WriteOutcome } from "./transport.js";

const READ_BUFFER_BYTES = 65_536;
/**
 * Size of the slabs into which queued chunks are copied, so that a slow reader of small chunks retains little memory.
 */
const SLAB_BYTES = 65_536;
/** Maximum length of a cached view. It limits the memory of all cached views to about 200 kB. */
const MAX_CACHED_VIEW_BYTES = 2_048;

/** A stream that reads and writes through the shared buffers. */
export interface BufferUser {
  /**
   * Called after a read.
   *
   * @param result number of bytes, or a negative error code of libuv
   */
  onReadable(result: number, views: BufferViews): void;
  /**
   * Called when a queued write is done.
   *
   * @param status 0, or a negative error code of libuv
   */
  onWriteComplete(status: number): void;
}

/**
 * The read and write buffers that all streams of the raw transport share. Sharing is safe because only one callback runs
 * at a time.
 */
export class SharedBuffers {
  readonly #binding: TcpBinding;
  readonly #readViews = new BufferViews(Buffer.allocUnsafeSlow(READ_BUFFER_BYTES), 0);
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #free = new BufferViews(this.#slab, 0);
  #spareRequest: LibuvWriteRequest;

  constructor(binding: TcpBinding) {
    this.#binding = binding;
    this.#spareRequest = new binding.WriteWrap();
  }

  newShutdownRequest(): LibuvRequest {
    return new this.#binding.ShutdownWrap();
  }

  /** Makes the handle read into the shared buffer and notify the user. */
  attach(handle: TcpHandle, user: BufferUser): void {
    handle.useUserBuffer(this.#readViews.buffer);
    handle.onread = () => user.onReadable(this.#binding.bytesReadOrError(), this.#readViews);
  }

  /**
   * Copies the chunk and writes the copy. When the socket accepts only a part of the chunk, libuv keeps a pointer to it,
   * but the next read reuses the read buffer. The space of the copy is reused when all of it was written at once.
   */
  write(handle: TcpHandle, chunk: Uint8Array, user: BufferUser): WriteOutcome {
    const length = chunk.byteLength;
    if (this.#free.offset + length > this.#slab.byteLength) this.#newSlab(length);
    const copy = this.#free.get(length);
    copy.set(chunk);
    const request = this.#spareRequest;
    if (handle.writeBuffer(request, copy) !== 0) return "failed";
    if (!this.#binding.lastWriteWasQueued()) return "written";
    this.#free = new BufferViews(this.#slab, this.#free.offset + length);
    request.buffer = copy;
    request.oncomplete = (status) => user.onWriteComplete(status);
    this.#spareRequest = new this.#binding.WriteWrap();
    return "queued";
  }

  #newSlab(length: number): void {
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, length));
    this.#free = new BufferViews(this.#slab, 0);
  }
}

/**
 * Creates views of a buffer that start at one offset. Views of small chunks are cached: a service sends chunks of few
 * lengths, and creating a view costs more than all other work on a small chunk.
 */
export class BufferViews {
  readonly buffer: Buffer;
  readonly offset: number;
  readonly #byLength: (Buffer | undefined)[] = [];

  constructor(buffer: Buffer, offset: number) {
    this.buffer = buffer;
    this.offset = offset;
  }

  get(length: number): Buffer {
    const cached = this.#byLength[length];
    if (cached !== undefined) return cached;
    const view = this.buffer.subarray(this.offset, this.offset + length);
    if (length < MAX_CACHED_VIEW_BYTES) this.#byLength[length] = view;
    return view;
  }
}
