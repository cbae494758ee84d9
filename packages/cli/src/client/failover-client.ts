import { ControlServiceService } from "@berth/proto";
import { addressOf, type RpcClient } from "@berth/proto/rpc";
import { type ControlConnection, type ControlServer, connectTo } from "./control-connection.js";
import { firstReachable } from "./first-reachable.js";
import { type CallOptions, withHostProbe } from "./host-probe.js";
import { isConnectionLost } from "./leader-change.js";

type Control = typeof ControlServiceService;
/** A call of the control service without its types. The client forwards calls and does not read their messages. */
type Method = (input: never, options?: CallOptions) => Promise<unknown> | AsyncIterable<unknown>;

/** A client of the control service that survives the loss of a server. */
export interface FailoverClient {
  readonly calls: RpcClient<Control>;
  /** Whether the client uses a server other than the first one. */
  readonly hasSkippedServer: boolean;
  /** Starts to connect ahead of the first call. */
  connect(): void;
  close(): void;
}

/**
 * Creates a client for several servers. Each server can respond for the cluster. The client connects to the first server
 * that accepts. When the connection is lost, the client repeats the call on another server. It does not repeat a call
 * that sends a stream, or whose response has started. All other calls of the control service are safe to repeat.
 */
export function createFailoverClient(servers: readonly [ControlServer, ...ControlServer[]]): FailoverClient {
  const pool = new ServerPool(servers);
  const entries = Object.entries(ControlServiceService).map(([name, method]) => {
    const key = name as keyof Control;
    if (method.responseStream) {
      return [name, (input: never, options?: CallOptions) => streamWithFailover(pool, key, input, options)];
    }
    return [name, (input: never, options?: CallOptions) => callWithFailover(pool, key, input, options)];
  });
  return {
    calls: Object.fromEntries(entries) as RpcClient<Control>,
    get hasSkippedServer() {
      return pool.hasSkippedServer;
    },
    connect: () => pool.connectAhead(),
    close: () => pool.close(),
  };
}

/** Runs a call with one response. Repeats it on another server when the connection is lost. */
async function callWithFailover(
  pool: ServerPool,
  name: keyof Control,
  input: never,
  options: CallOptions = {},
): Promise<unknown> {
  for (let attempt = 1; ; attempt++) {
    const server = await pool.connect(options.signal);
    const probed = withHostProbe(server.address, options);
    try {
      return await (server.calls[name] as Method)(input, probed.options);
    } catch (error) {
      const isLost = isConnectionLost(error) && !options.signal?.aborted;
      if (!isLost || attempt >= pool.size) throw error;
      pool.disconnect(server);
    } finally {
      probed.stop();
    }
  }
}

/** Runs a call with a stream of responses. Repeats it on another server if the connection is lost before the first one. */
async function* streamWithFailover(
  pool: ServerPool,
  name: keyof Control,
  input: never,
  options: CallOptions = {},
): AsyncGenerator<unknown> {
  const isRepeatable = !ControlServiceService[name].requestStream;
  for (let attempt = 1, hasStarted = false; ; attempt++) {
    const server = await pool.connect(options.signal);
    const probed = withHostProbe(server.address, options);
    try {
      const messages = (server.calls[name] as Method)(input, probed.options) as AsyncIterable<unknown>;
      for await (const message of messages) {
        hasStarted = true;
        yield message;
      }
      return;
    } catch (error) {
      const isLost = isConnectionLost(error) && !options.signal?.aborted;
      if (isLost) pool.disconnect(server);
      if (!isLost || !isRepeatable || hasStarted || attempt >= pool.size) throw error;
    } finally {
      probed.stop();
    }
  }
}

/** The connection to one of several servers. */
class ServerPool {
  readonly #servers: readonly [ControlServer, ...ControlServer[]];
  readonly #closing = new AbortController();
  #connection: ControlConnection | undefined;

  constructor(servers: readonly [ControlServer, ...ControlServer[]]) {
    this.#servers = servers;
  }

  get size(): number {
    return this.#servers.length;
  }

  get hasSkippedServer(): boolean {
    return this.#connection !== undefined && this.#connection.address !== addressOf(this.#servers[0]);
  }

  /** Returns the open connection, or connects to the first server that accepts. */
  async connect(signal: AbortSignal | undefined): Promise<ControlConnection> {
    if (this.#connection !== undefined) return this.#connection;
    const reachable = await firstReachable(this.#servers.map(addressOf), signal);
    const server = this.#servers.find((each) => addressOf(each) === reachable) ?? this.#servers[0];
    this.#connection ??= connectTo(server);
    return this.#connection;
  }

  /** Connects before there is a call. */
  connectAhead(): void {
    const { signal } = this.#closing;
    void this.connect(signal).then((server) => (signal.aborted ? server.close() : server.connect()));
  }

  /** Closes a lost connection. Other calls in progress on it fail and are repeated on another server. */
  disconnect(server: ControlConnection): void {
    if (this.#connection === server) this.#connection = undefined;
    server.close();
  }

  close(): void {
    this.#closing.abort(new Error("the client was closed"));
    this.#connection?.close();
  }
}
