// TCP as the listeners of the user-space proxy use it. RawTransport and the net transport implement it.

/** Receives the events of a stream. Called from the event loop, never from within a call to the stream. */
export interface StreamHandler {
  /** `chunk` is a view of a buffer that is reused: it is valid during the call only. */
  onData(chunk: Uint8Array): void;
  /** The peer sent FIN. It may still read. */
  onEnd(): void;
  /** Called when the queued write is complete. */
  onWritten(): void;
  /** The connection failed. The owner has to `reset` or `close` the stream. */
  onError(code: string): void;
}

/** `queued`: the chunk waits, and nothing may be written before `onWritten`. */
export type WriteOutcome = "written" | "queued" | "failed";

/** Both ends of a connection, as the local socket sees them. */
export interface ConnectionAddresses {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

/** A TCP connection that can be half-closed. It reads only between `read` and `pause`. */
export interface ByteStream {
  /** Starts or resumes reading. */
  read(handler: StreamHandler): void;
  pause(): void;
  write(chunk: Uint8Array): WriteOutcome;
  /** Sends FIN. Not allowed while a write is queued. */
  end(): void;
  /** Closes the connection at once. */
  close(): void;
  /** Closes the connection with RST, so that the peer sees an error instead of an orderly end. */
  reset(): void;
  /** Returns undefined if the connection is already closed. Costs two system calls. */
  addresses(): ConnectionAddresses | undefined;
}

export interface ListenOptions {
  /** Empty for all IPv4 and IPv6 addresses. */
  readonly address: string;
  readonly port: number;
  /** Handle of a listening socket from another process. A handle that cannot be used is closed. */
  readonly inherited?: unknown;
  onConnection(stream: ByteStream): void;
  onAcceptError(code: string): void;
}

export interface ConnectOptions {
  readonly address: string;
  readonly port: number;
  /** Called once unless the stream is closed first. `code` is undefined on success. */
  onConnect(code: string | undefined): void;
}

/** A listening socket. */
export interface Listening {
  close(): void;
  /** The port that the kernel chose when `ListenOptions.port` is 0. */
  readonly port: number;
  /** Handle of the socket, to be sent to another process. Undefined when it cannot be sent. */
  readonly handle: unknown;
}

/** Opens TCP streams without Nagle's algorithm and with keepalive probes after 30 s of silence. */
export interface Transport {
  readonly name: "raw" | "net";
  /** Resolves when the port accepts connections. Rejects with a system error (`code`). */
  listen(options: ListenOptions): Promise<Listening>;
  /** Starts a connection. Before `onConnect`, the stream can only be closed. Never throws. */
  connect(options: ConnectOptions): ByteStream;
}

/** Idle time after which the kernel sends keepalive probes. */
export const KEEPALIVE_SECONDS = 30;
/**
 * Maximum number of connections that the kernel queues between two turns of the event loop. net.core.somaxconn caps it.
 */
export const ACCEPT_BACKLOG = 4_096;
