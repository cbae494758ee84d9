/** What happens on a stream. Called on the event loop, never from inside a call to the stream. */
export interface StreamHandler {
  /** `chunk` is a window on a buffer that is used again: valid during the call only. */
  onData(chunk: Uint8Array): void;
  /** The other side will send no more; it may still read. */
  onEnd(): void;
  /** The write that was `queued` has left. */
  onWritten(): void;
  /** The connection is broken. The owner has to `reset` or `close` the stream. */
  onError(code: string): void;
}

/** written: nothing is kept. queued: one chunk waits, and nothing may be written before `onWritten`. */
export type WriteOutcome = "written" | "queued" | "failed";

/** Who a connection is between. */
export interface ConnectionAddresses {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

/** One TCP connection, half-closable, that reads only when told to. */
export interface ByteStream {
  /** Starts, or resumes, calling the handler. */
  read(handler: StreamHandler): void;
  pause(): void;
  write(chunk: Uint8Array): WriteOutcome;
  /** Sends FIN. Not while a write is queued. */
  end(): void;
  /** Closes without waiting for anybody. */
  close(): void;
  /** Closes with RST, so that the other side sees a failure and not an orderly end. */
  reset(): void;
  /** Undefined when the connection is gone already. Costs two system calls. */
  ends(): ConnectionAddresses | undefined;
}

export interface ListenOptions {
  /** "" for all addresses, IPv4 and IPv6. */
  readonly address: string;
  readonly port: number;
  /** A socket that listens there already, from another process; whatever else it is, the port is opened anew. */
  readonly inherited?: unknown;
  onConnection(stream: ByteStream): void;
  onAcceptError(code: string): void;
}

export interface ConnectOptions {
  readonly address: string;
  readonly port: number;
  /** Called once unless the stream is closed before. `code` is undefined on success. */
  onConnect(code: string | undefined): void;
}

export interface Listening {
  close(): void;
  /** To be given to another process; undefined: it cannot be. */
  readonly handle: unknown;
}

/** Makes TCP streams with no Nagle delay and keepalive probes after 30 s of silence. */
export interface Transport {
  /** Resolves when the port accepts; rejects with a system error (`code`). */
  listen(options: ListenOptions): Promise<Listening>;
  /** Starts a connection. Before `onConnect` the stream can only be closed. Never throws. */
  connect(options: ConnectOptions): ByteStream;
}

export const KEEPALIVE_SECONDS = 30;
/** Connections the kernel may hold for us between two turns of the event loop; somaxconn caps it. */
export const ACCEPT_BACKLOG = 4_096;
