import { connect, isIP, type Socket } from "node:net";
import { BerthError, ControlServiceService } from "@berth/proto";
import { probeHost, probeUntilSilent } from "@berth/proto/probe";
import { createRpcClient, type RpcClient, type RpcConnection } from "@berth/proto/rpc";
import { isConnectionLost } from "./leader-change.js";

type Control = typeof ControlServiceService;
/** A call of the control service without its types. The client forwards calls and does not read their messages. */
type Method = (input: never, options?: CallOptions) => Promise<unknown> | AsyncIterable<unknown>;

interface CallOptions {
  readonly signal?: AbortSignal;
}

/** Delay before the next server is tried in parallel. A server on the same network accepts much sooner. */
const STAGGER_MS = 150;
const CONNECT_TIMEOUT_MS = 3_000;

/**
 * Settings for probing a server's host during a call. A host that loses power does not reset its connections. Without
 * probes, the call would wait until its deadline. The host has accepted a connection, so it is known to respond.
 */
const HOST_PROBE = { everyMs: 500, tries: 20, tryMs: 50, hasAnswered: true };
/** Time after which a call starts to probe the host. */
const PROBE_AFTER_MS = 500;

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
export function createFailoverClient(addresses: readonly [string, ...string[]]): FailoverClient {
  const pool = new ServerPool(addresses);
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
  #connection: RpcConnection<Control> | undefined;

  constructor(addresses: readonly [string, ...string[]]) {
    this.#addresses = addresses;
  }

  get size(): number {
    return this.#addresses.length;
  }

  /** Returns the open connection, or connects to the first server that accepts. */
  async connect(signal: AbortSignal | undefined): Promise<RpcConnection<Control>> {
    if (this.#connection !== undefined) return this.#connection;
    const address = (await firstReachable(this.#addresses, signal)) ?? this.#addresses[0];
    this.#connection ??= createRpcClient(ControlServiceService, { address });
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

/** Returns call options whose signal also aborts when the server's host stops answering probes. */
function withHostProbe(
  address: string,
  options: CallOptions,
): { readonly options: CallOptions; stop(): void } {
  const { host, port } = splitAddress(address);
  const stopped = new AbortController();
  const lost = new AbortController();
  const probe = async (): Promise<void> => {
    const target = { ...HOST_PROBE, probe: probeHost, address: host, port };
    const isSilent = await probeUntilSilent(target, stopped.signal);
    if (isSilent) lost.abort(hostLostError(address));
  };
  const timer = isIP(host) === 0 ? undefined : setTimeout(() => void probe(), PROBE_AFTER_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, lost.signal]) : lost.signal;
  const stop = (): void => {
    clearTimeout(timer);
    stopped.abort();
  };
  return { options: { ...options, signal }, stop };
}

/** Connects to the addresses with staggered starts. Returns the first one that accepts, or undefined if none does. */
function firstReachable(
  addresses: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const sockets: Socket[] = [];
  const timers: NodeJS.Timeout[] = [];
  let onAbort = (): void => {};
  return new Promise<string | undefined>((resolve) => {
    onAbort = () => resolve(undefined);
    let pendingCount = addresses.length;
    if (signal?.aborted) resolve(undefined);
    signal?.addEventListener("abort", onAbort, { once: true });
    timers.push(setTimeout(() => resolve(undefined), CONNECT_TIMEOUT_MS));
    const tryConnect = (address: string): void => {
      const socket = connect(splitAddress(address));
      sockets.push(socket);
      socket.once("connect", () => resolve(address));
      socket.on("error", () => {
        pendingCount -= 1;
        if (pendingCount === 0) resolve(undefined);
      });
    };
    for (const [index, address] of addresses.entries()) {
      timers.push(setTimeout(() => tryConnect(address), index * STAGGER_MS));
    }
  }).finally(() => {
    signal?.removeEventListener("abort", onAbort);
    for (const timer of timers) clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
  });
}

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return {
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"),
    port: Number(address.slice(colon + 1)),
  };
}

function hostLostError(address: string): BerthError {
  const message = `lost connection to the berth server at ${address}: its host does not respond`;
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}
