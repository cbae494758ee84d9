import { connect, createServer, type Socket } from "node:net";
import { closeHandle, isTcpHandle, listeningHandle } from "./socket-handles.js";
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

const SOCKET_OPTIONS = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEPALIVE_SECONDS * 1_000,
};

/** TCP over `node:net`, for Node versions on which the raw transport does not work. */
export function createNetTransport(): Transport {
  return { name: "net", listen, connect: connectStream };
}

async function listen(options: ListenOptions): Promise<Listening> {
  const server = createServer({ ...SOCKET_OPTIONS, pauseOnConnect: true }, (socket) =>
    options.onConnection(new NetStream(socket)),
  );
  // A handle of another type, for example from another release, is closed, and the port is opened again.
  const inherited = isTcpHandle(options.inherited) ? options.inherited : undefined;
  if (inherited === undefined) closeHandle(options.inherited);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const host = options.address === "" ? {} : { host: options.address };
    if (inherited !== undefined) server.listen(inherited, ACCEPT_BACKLOG, resolve);
    else server.listen({ port: options.port, backlog: ACCEPT_BACKLOG, ...host }, resolve);
  });
  server.removeAllListeners("error");
  server.on("error", (error) => options.onAcceptError(errorCode(error)));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { close: () => void server.close(), port, handle: listeningHandle(server) };
}

function connectStream({ address, port, onConnect }: ConnectOptions): ByteStream {
  const socket = connect({ host: address, port, ...SOCKET_OPTIONS });
  const stream = new NetStream(socket);
  const onError = (error: Error): void => onConnect(errorCode(error));
  socket.once("error", onError);
  socket.once("connect", () => {
    socket.off("error", onError);
    onConnect(undefined);
  });
  return stream;
}

class NetStream implements ByteStream {
  readonly #socket: Socket;
  #handler: StreamHandler | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", (error) => this.#handler?.onError(errorCode(error)));
  }

  read(handler: StreamHandler): void {
    if (this.#handler === undefined) {
      this.#socket.on("data", (chunk) => this.#handler?.onData(chunk));
      this.#socket.on("end", () => this.#handler?.onEnd());
    }
    this.#handler = handler;
    this.#socket.resume();
  }

  pause(): void {
    this.#socket.pause();
  }

  write(chunk: Uint8Array): WriteOutcome {
    if (this.#socket.destroyed) return "failed";
    if (this.#socket.write(chunk)) return "written";
    this.#socket.once("drain", () => this.#handler?.onWritten());
    return "queued";
  }

  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#removeListeners();
    if (this.#socket.connecting) this.#socket.destroy();
    // The kernel ends the connection of a peer that stops reading: keepalive probes and retransmissions are limited.
    else this.#socket.destroySoon();
  }

  reset(): void {
    this.#removeListeners();
    if (this.#socket.connecting) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  addresses(): ConnectionAddresses | undefined {
    const { remoteAddress, remotePort, localAddress, localPort } = this.#socket;
    if (remoteAddress === undefined || localAddress === undefined) return undefined;
    return { remoteAddress, remotePort: remotePort ?? 0, localAddress, localPort: localPort ?? 0 };
  }

  #removeListeners(): void {
    this.#handler = undefined;
    this.#socket.removeAllListeners();
    this.#socket.on("error", () => {});
  }
}

function errorCode(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "EIO";
}
