import { isIPv6 } from "node:net";
import { getSystemErrorName } from "node:util";
import {
  ACCEPT_BACKLOG,
  type ByteStream,
  type ConnectOptions,
  KEEPALIVE_SECONDS,
  type ListenOptions,
  type StreamHandler,
  type Transport,
  type WriteOutcome,
} from "./byte-stream.js";
import { loadTcpBinding, type RawBinding, type RawHandle, type RawWriteRequest } from "./raw-binding.js";

/** libuv's number for "the other side sent FIN". */
const END_OF_STREAM = -4095;
const READ_BUFFER_BYTES = 65_536;
/** Queued chunks are cut from slabs of this size, so that a stalled reader of small chunks pins little. */
const SLAB_BYTES = 65_536;

/**
 * TCP straight on libuv's handles, without `net.Socket` and streams: about half the CPU time for a connection and
 * two thirds for a chunk (figures in test/bench/ingress/README.md). Undefined when this Node does not offer the
 * handles; the net transport does the same job then.
 */
export function createRawTransport(): Transport | undefined {
  const binding = loadTcpBinding();
  return binding === undefined ? undefined : new RawTransport(binding);
}

class RawTransport implements Transport {
  readonly #binding: RawBinding;
  readonly #writer: SharedWriter;

  constructor(binding: RawBinding) {
    this.#binding = binding;
    this.#writer = new SharedWriter(binding);
  }

  async listen(options: ListenOptions): Promise<{ close(): void }> {
    const server = new this.#binding.TCP(this.#binding.SERVER);
    try {
      bind(server, options);
      // Linux hands a listening socket's options down to the connections it accepts: two system calls saved on each.
      server.setNoDelay(true);
      server.setKeepAlive(true, KEEPALIVE_SECONDS);
      server.onconnection = (status, handle) => {
        if (handle === undefined) options.onAcceptError(errorName(status));
        else options.onConnection(new RawStream(handle, this.#binding, this.#writer));
      };
      check(server.listen(ACCEPT_BACKLOG), "listen");
    } catch (error) {
      server.close();
      throw error;
    }
    return { close: () => server.close() };
  }

  connect(options: ConnectOptions): ByteStream {
    const handle = new this.#binding.TCP(this.#binding.SOCKET);
    const stream = new RawStream(handle, this.#binding, this.#writer);
    const request = new this.#binding.TCPConnectWrap();
    request.oncomplete = (status) => {
      if (!stream.isOpen) return;
      if (status === 0) {
        handle.setNoDelay(true);
        handle.setKeepAlive(true, KEEPALIVE_SECONDS);
      }
      options.onConnect(status === 0 ? undefined : errorName(status));
    };
    const status = isIPv6(options.address)
      ? handle.connect6(request, options.address, options.port)
      : handle.connect(request, options.address, options.port);
    if (status !== 0) setImmediate(() => request.oncomplete(status));
    return stream;
  }
}

/** Where reads land and queued writes wait: shared by all streams, since only one callback runs at a time. */
class SharedWriter {
  readonly readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
  readonly #binding: RawBinding;
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #used = 0;
  #spare: RawWriteRequest;

  constructor(binding: RawBinding) {
    this.#binding = binding;
    this.#spare = new binding.WriteWrap();
  }

  /**
   * libuv keeps pointing into the chunk when the socket takes only a part, and the read buffer is about to be used
   * again: so the chunk is copied first, into space that is given back when all was written at once.
   */
  write(handle: RawHandle, chunk: Uint8Array, onWritten: (status: number) => void): WriteOutcome {
    const length = chunk.byteLength;
    if (this.#used + length > this.#slab.byteLength) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, length));
      this.#used = 0;
    }
    this.#slab.set(chunk, this.#used);
    const copy = this.#slab.subarray(this.#used, this.#used + length);
    const request = this.#spare;
    if (handle.writeBuffer(request, copy) !== 0) return "failed";
    if (!this.#binding.lastWriteWasQueued()) return "written";
    this.#used += length;
    request.buffer = copy;
    request.oncomplete = onWritten;
    this.#spare = new this.#binding.WriteWrap();
    return "queued";
  }
}

class RawStream implements ByteStream {
  readonly #handle: RawHandle;
  readonly #binding: RawBinding;
  readonly #writer: SharedWriter;
  #handler: StreamHandler | undefined;
  #isEnding = false;
  #resetAfterEnd = false;
  isOpen = true;

  constructor(handle: RawHandle, binding: RawBinding, writer: SharedWriter) {
    this.#handle = handle;
    this.#binding = binding;
    this.#writer = writer;
  }

  read(handler: StreamHandler): void {
    if (this.#handler === undefined) {
      this.#handle.useUserBuffer(this.#writer.readBuffer);
      this.#handle.onread = () => this.#onRead();
    }
    this.#handler = handler;
    this.#handle.readStart();
  }

  pause(): void {
    this.#handle.readStop();
  }

  write(chunk: Uint8Array): WriteOutcome {
    return this.#writer.write(this.#handle, chunk, (status) => {
      if (!this.isOpen) return;
      if (status < 0) this.#handler?.onError(errorName(status));
      else this.#handler?.onWritten();
    });
  }

  end(): void {
    const request = new this.#binding.ShutdownWrap();
    request.oncomplete = () => {
      this.#isEnding = false;
      if (this.#resetAfterEnd) this.#handle.reset();
    };
    this.#isEnding = this.#handle.shutdown(request) === 0;
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#handle.close();
  }

  /** libuv refuses a reset while FIN is under way, for one turn of the loop at most: the reset follows it then. */
  reset(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    if (this.#isEnding) this.#resetAfterEnd = true;
    else this.#handle.reset();
  }

  #onRead(): void {
    const handler = this.#handler;
    if (!this.isOpen || handler === undefined) return;
    const result = this.#binding.bytesReadOrError();
    if (result > 0) handler.onData(this.#writer.readBuffer.subarray(0, result));
    else if (result === END_OF_STREAM) handler.onEnd();
    else if (result < 0) handler.onError(errorName(result));
  }
}

function bind(server: RawHandle, { address, port }: ListenOptions): void {
  if (address !== "") {
    check(isIPv6(address) ? server.bind6(address, port, 0) : server.bind(address, port), "bind");
    return;
  }
  // One IPv6 socket takes IPv4 connections too; hosts without IPv6 get an IPv4 one.
  const status = server.bind6("::", port, 0);
  if (["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"].includes(errorName(status)))
    check(server.bind("0.0.0.0", port), "bind");
  else check(status, "bind");
}

function check(status: number, call: string): void {
  if (status === 0) return;
  const code = errorName(status);
  throw Object.assign(new Error(`${call}: ${code}`), { code });
}

function errorName(status: number): string {
  return status < 0 ? getSystemErrorName(status) : "";
}
