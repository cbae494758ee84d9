import { ControlServiceService } from "@berth/proto";
import type { RpcClient, RpcConnection, RpcIdentity } from "@berth/proto/rpc";
import { connectTo } from "./control-connection.js";
import { firstReachable } from "./first-reachable.js";
import { type CallOptions, withHostProbe } from "./host-probe.js";
import { isConnectionLost } from "./leader-change.js";

type Control = typeof ControlServiceService;
/** A call of the control service without its types. The client forwards calls and does not read their messages. */
type Method = (input: never, options?: CallOptions) => Promise<unknown> | AsyncIterable<unknown>;

/** A client of the control service that survives the loss of a server. */
export interface FailoverClient {
  readonly calls: RpcClient<Control>;
  close(): void;
}

/**
 * Creates a client for several servers. Each server can respond for the cluster. The client connects to the first server
 * that accepts. When the connection is lost, the client repeats the call on another server. It does not repeat a call
 * that sends a stream, or whose response has started. All other calls of the control service are safe to repeat.
 */
export function createFailoverClient(
  addresses: readonly [string, ...string[]],
  identity?: RpcIdentity,
): FailoverClient {
  const pool = new ServerPool(addresses, identity);
  const entries = Object.entries(ControlServiceService).map(([name, method]) => {
    const key = name as keyof Control;
    if (method.responseStream)
      return [name, (input: never, options?: CallOptions) => streamWithFailover(pool, key, input, options)];
    return [name, (input: never, options?: CallOptions) => callWithFailover(pool, key, input, options)];
  });
  return { calls: Object.fromEntries(entries) as RpcClient<Control>, close: () => pool.close() };
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
  readonly #addresses: readonly [string, ...string[]];
  readonly #identity: RpcIdentity | undefined;
  #connection: RpcConnection<Control> | undefined;

  constructor(addresses: readonly [string, ...string[]], identity: RpcIdentity | undefined) {
    this.#addresses = addresses;
    this.#identity = identity;
  }

  get size(): number {
    return this.#addresses.length;
  }

  /** Returns the open connection, or connects to the first server that accepts. */
  async connect(signal: AbortSignal | undefined): Promise<RpcConnection<Control>> {
    if (this.#connection !== undefined) return this.#connection;
    const address = (await firstReachable(this.#addresses, signal)) ?? this.#addresses[0];
    this.#connection ??= connectTo(address, this.#identity);
    return this.#connection;
  }

  /** Closes a lost connection. Other calls in progress on it fail and are repeated on another server. */
  disconnect(server: RpcConnection<Control>): void {
    if (this.#connection === server) this.#connection = undefined;
    server.close();
  }

  close(): void {
    this.#connection?.close();
  }
}
