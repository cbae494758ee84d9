import { getSystemErrorName } from "node:util";
import type {
  LibuvRequest,
  LibuvWriteRequest,
  SocketName,
  TcpBinding,
  TcpHandle,
} from "../../runtime/tcp-binding.js";
import { closeHandle } from "./socket-handles.js";
import {
  ACCEPT_BACKLOG,
  type ByteStream,
  type ConnectionAddresses,
  type ConnectOptions,
  KEEPALIVE_SECONDS,
  type Listening,
  type ListenOptions,
  type StreamHandler,
  type Transport,
  type WriteOutcome,
} from "./transport.js";

/** UV_EOF: the peer sent FIN. */
const END_OF_STREAM = -4095;
const READ_BUFFER_BYTES = 65_536;
/** Queued chunks are copied into slabs of this size, so that a slow reader of small chunks retains little memory. */
const SLAB_BYTES = 65_536;
/** Limits the memory of cached views to about 200 kB. */
const MAX_CACHED_VIEW_BYTES = 2_048;

/**
 * TCP on libuv's handles, without `net.Socket` and streams: about half the CPU time per connection and two thirds per
 * chunk (figures in test/bench/ingress/README.md). `openTransport` tests it before use.
 */
export function createRawTransport(binding: TcpBinding): Transport {
  return new RawTransport(binding);
}

class RawTransport implements Transport {
  readonly name = "raw";
  readonly #binding: TcpBinding;
  readonly #buffers: SharedBuffers;
  readonly #keepalive = new DeferredKeepalive();

  constructor(binding: TcpBinding) {
    this.#binding = binding;
    this.#buffers = new SharedBuffers(binding);
  }

  async listen(options: ListenOptions): Promise<Listening> {
    const { TCP, SERVER } = this.#binding;
    if (!(options.inherited instanceof TCP)) closeHandle(options.inherited);
    const server = options.inherited instanceof TCP ? options.inherited : new TCP(SERVER);
    try {
      if (server !== options.inherited) bind(server, options);
      // Accepted connections inherit these options from the listening socket, which saves five system calls each.
      server.setNoDelay(true);
      server.setKeepAlive(true, KEEPALIVE_SECONDS);
      server.onconnection = (status, handle) => {
        if (handle === undefined) options.onAcceptError(errorName(status));
        else options.onConnection(new RawStream(handle, this.#buffers, undefined));
      };
      assertSuccess(server.listen(ACCEPT_BACKLOG), "listen");
    } catch (error) {
      server.close();
      throw error;
    }
    return { close: () => server.close(), handle: server };
  }

  connect({ address, port, onConnect }: ConnectOptions): ByteStream {
    const handle = new this.#binding.TCP(this.#binding.SOCKET);
    const stream = new RawStream(handle, this.#buffers, this.#keepalive);
    const request = new this.#binding.TCPConnectWrap();
    request.oncomplete = (status) => {
      if (stream.isOpen) onConnect(status === 0 ? undefined : errorName(status));
    };
    const status = isV6(address)
      ? handle.connect6(request, address, port)
      : handle.connect(request, address, port);
    if (status === 0) {
      handle.setNoDelay(true);
      this.#keepalive.add(handle);
    } else setImmediate(() => request.oncomplete(status));
    return stream;
  }
}

class RawStream implements ByteStream {
  readonly #handle: TcpHandle;
  readonly #buffers: SharedBuffers;
  readonly #keepalive: DeferredKeepalive | undefined;
  #isEnding = false;
  #resetAfterEnd = false;
  handler: StreamHandler | undefined;
  isOpen = true;

  constructor(handle: TcpHandle, buffers: SharedBuffers, keepalive: DeferredKeepalive | undefined) {
    this.#handle = handle;
    this.#buffers = buffers;
    this.#keepalive = keepalive;
  }

  read(handler: StreamHandler): void {
    if (this.handler === undefined) this.#buffers.attach(this.#handle, this);
    this.handler = handler;
    this.#handle.readStart();
  }

  pause(): void {
    this.#handle.readStop();
  }

  write(chunk: Uint8Array): WriteOutcome {
    return this.#buffers.write(this.#handle, chunk, this);
  }

  end(): void {
    const request = this.#buffers.newShutdownRequest();
    request.oncomplete = () => {
      this.#isEnding = false;
      if (this.#resetAfterEnd) this.#handle.reset();
    };
    this.#isEnding = this.#handle.shutdown(request) === 0;
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#keepalive?.delete(this.#handle);
    this.#handle.close();
  }

  /** libuv rejects a reset while FIN is being sent, for one turn of the event loop at most: the reset follows then. */
  reset(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#keepalive?.delete(this.#handle);
    if (this.#isEnding) this.#resetAfterEnd = true;
    else this.#handle.reset();
  }

  addresses(): ConnectionAddresses | undefined {
    const remote: SocketName = {};
    const local: SocketName = {};
    if (!this.isOpen || this.#handle.getpeername(remote) !== 0 || this.#handle.getsockname(local) !== 0)
      return undefined;
    const { address: remoteAddress = "", port: remotePort = 0 } = remote;
    const { address: localAddress = "", port: localPort = 0 } = local;
    return { remoteAddress, remotePort, localAddress, localPort };
  }

  onReadable(result: number, views: BufferViews): void {
    const handler = this.handler;
    if (!this.isOpen || handler === undefined) return;
    if (result > 0) handler.onData(views.get(result));
    else if (result === END_OF_STREAM) handler.onEnd();
    else if (result < 0) handler.onError(errorName(result));
  }

  onWriteComplete(status: number): void {
    if (!this.isOpen) return;
    if (status < 0) this.handler?.onError(errorName(status));
    else this.handler?.onWritten();
  }
}

/** Read and write buffers shared by all streams: only one callback runs at a time. */
class SharedBuffers {
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

  /** Makes the handle read into the shared buffer and notify the stream. */
  attach(handle: TcpHandle, stream: RawStream): void {
    handle.useUserBuffer(this.#readViews.buffer);
    handle.onread = () => stream.onReadable(this.#binding.bytesReadOrError(), this.#readViews);
  }

  /**
   * Copies the chunk and writes the copy. libuv keeps a pointer to the chunk when the socket accepts only a part of it,
   * but the read buffer is about to be reused. The space of the copy is reused when all was written at once.
   */
  write(handle: TcpHandle, chunk: Uint8Array, stream: RawStream): WriteOutcome {
    const length = chunk.byteLength;
    if (this.#free.offset + length > this.#slab.byteLength) this.#newSlab(length);
    const copy = this.#free.get(length);
    copy.set(chunk);
    const request = this.#spareRequest;
    if (handle.writeBuffer(request, copy) !== 0) return "failed";
    if (!this.#binding.lastWriteWasQueued()) return "written";
    this.#free = new BufferViews(this.#slab, this.#free.offset + length);
    request.buffer = copy;
    request.oncomplete = (status) => stream.onWriteComplete(status);
    this.#spareRequest = new this.#binding.WriteWrap();
    return "queued";
  }

  #newSlab(length: number): void {
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, length));
    this.#free = new BufferViews(this.#slab, 0);
  }
}

/**
 * Creates views of a buffer that start at one offset. The chunks of a service tend to have few lengths, and creating a
 * view costs more than all other work on a small chunk: views of small chunks are cached.
 */
class BufferViews {
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

/**
 * Enables keepalive on connections that have existed for half the keepalive time. Enabling it takes four system calls,
 * and most connections end long before the first probe.
 */
class DeferredKeepalive {
  #young = new Set<TcpHandle>();
  #older = new Set<TcpHandle>();
  #timer: NodeJS.Timeout | undefined;

  add(handle: TcpHandle): void {
    this.#young.add(handle);
    this.#timer ??= setInterval(() => this.#age(), (KEEPALIVE_SECONDS * 1_000) / 4);
  }

  delete(handle: TcpHandle): void {
    if (!this.#young.delete(handle)) this.#older.delete(handle);
  }

  #age(): void {
    for (const handle of this.#older) handle.setKeepAlive(true, KEEPALIVE_SECONDS);
    this.#older = this.#young;
    this.#young = new Set();
  }
}

function bind(server: TcpHandle, { address, port }: ListenOptions): void {
  if (address !== "") {
    assertSuccess(isV6(address) ? server.bind6(address, port, 0) : server.bind(address, port), "bind");
    return;
  }
  // An IPv6 socket accepts IPv4 connections too. Hosts without IPv6 get an IPv4 socket.
  const status = server.bind6("::", port, 0);
  if (["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"].includes(errorName(status)))
    assertSuccess(server.bind("0.0.0.0", port), "bind");
  else assertSuccess(status, "bind");
}

function isV6(address: string): boolean {
  return address.includes(":");
}

function assertSuccess(status: number, call: string): void {
  if (status === 0) return;
  const code = errorName(status);
  throw Object.assign(new Error(`${call}: ${code}`), { code });
}

function errorName(status: number): string {
  return status < 0 ? getSystemErrorName(status) : "";
}
