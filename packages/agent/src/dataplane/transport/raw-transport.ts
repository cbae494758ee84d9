import { getSystemErrorName } from "node:util";
import type { SocketName, TcpBinding, TcpHandle } from "../../runtime/tcp-binding.js";
import { DeferredKeepalive } from "./deferred-keepalive.js";
import { type BufferUser, type BufferViews, SharedBuffers } from "./shared-buffers.js";
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

/** UV_EOF: the status of a read after the peer has sent FIN. */
const END_OF_STREAM = -4095;

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
    const name: SocketName = {};
    server.getsockname(name);
    return { close: () => server.close(), port: name.port ?? 0, handle: server };
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

class RawStream implements ByteStream, BufferUser {
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

  /** libuv rejects a reset while it sends FIN, which takes one turn of the event loop at most. The reset then follows. */
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
    if (!this.isOpen || this.#handle.getpeername(remote) !== 0 || this.#handle.getsockname(local) !== 0) {
      return undefined;
    }
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

function bind(server: TcpHandle, { address, port }: ListenOptions): void {
  if (address !== "") {
    assertSuccess(isV6(address) ? server.bind6(address, port, 0) : server.bind(address, port), "bind");
    return;
  }
  // An IPv6 socket accepts IPv4 connections too. Hosts without IPv6 get an IPv4 socket.
  const status = server.bind6("::", port, 0);
  if (["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"].includes(errorName(status))) {
    assertSuccess(server.bind("0.0.0.0", port), "bind");
  } else {
    assertSuccess(status, "bind");
  }
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
