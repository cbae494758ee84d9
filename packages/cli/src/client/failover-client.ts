import { connect, isIP, type Socket } from "node:net";
import { BerthError, ControlServiceService, isBerthError } from "@berth/proto";
import { probeHost, untilSilent } from "@berth/proto/probe";
import { createRpcClient, type RpcClient, type RpcConnection } from "@berth/proto/rpc";

type Control = typeof ControlServiceService;
type Method = (input: never, options?: CallOptions) => Promise<unknown> | AsyncIterable<unknown>;

interface CallOptions {
  readonly signal?: AbortSignal;
}

/** A server on the same network answers a connection in a fraction of this; then the next one is tried beside it. */
const STAGGER_MS = 150;
const CONNECT_TIMEOUT_MS = 3_000;

/** A host whose power is gone refuses nothing: a call to it would wait until its deadline. It had accepted a connection. */
const WATCH = { everyMs: 500, tries: 20, tryMs: 50, hasAnswered: true };
/** Calls that take less time than this are not watched over. */
const WATCH_AFTER_MS = 500;

/**
 * A client of several servers, any of which answers for the cluster. Calls go to the first that can be connected to;
 * one that fails because its server is gone is made again with another: all calls of Control may be repeated, but those
 * that bring a stream and those whose answer has begun.
 */
export function createFailoverClient(addresses: readonly [string, ...string[]]): {
  readonly calls: RpcClient<Control>;
  close(): void;
} {
  const servers = new ServerPool(addresses);
  const entries = Object.entries(ControlServiceService).map(([name, method]) => {
    const key = name as keyof Control;
    if (method.responseStream)
      return [
        name,
        (input: never, options?: CallOptions) => streamWithFailover(servers, key, input, options),
      ];
    return [name, (input: never, options?: CallOptions) => callWithFailover(servers, key, input, options)];
  });
  return { calls: Object.fromEntries(entries) as RpcClient<Control>, close: () => servers.close() };
}

async function callWithFailover(
  servers: ServerPool,
  name: keyof Control,
  input: never,
  options: CallOptions = {},
): Promise<unknown> {
  for (let tries = 1; ; tries++) {
    const server = await servers.current(options.signal);
    const watched = watchHost(server.address, options);
    try {
      return await (server.calls[name] as Method)(input, watched.options);
    } catch (error) {
      if (options.signal?.aborted || tries >= servers.count || !isConnectionLost(error)) throw error;
      servers.leave(server);
    } finally {
      watched.end();
    }
  }
}

async function* streamWithFailover(
  servers: ServerPool,
  name: keyof Control,
  input: never,
  options: CallOptions = {},
): AsyncGenerator<unknown> {
  const mayRepeat = !ControlServiceService[name].requestStream;
  for (let tries = 1, hasBegun = false; ; tries++) {
    const server = await servers.current(options.signal);
    const watched = watchHost(server.address, options);
    try {
      const answers = (server.calls[name] as Method)(input, watched.options) as AsyncIterable<unknown>;
      for await (const answer of answers) {
        hasBegun = true;
        yield answer;
      }
      return;
    } catch (error) {
      if (options.signal?.aborted) throw error;
      if (isConnectionLost(error)) servers.leave(server);
      if (hasBegun || !mayRepeat || tries >= servers.count || !isConnectionLost(error)) throw error;
    } finally {
      watched.end();
    }
  }
}

class ServerPool {
  readonly #addresses: readonly [string, ...string[]];
  #connection: RpcConnection<Control> | undefined;

  constructor(addresses: readonly [string, ...string[]]) {
    this.#addresses = addresses;
  }

  get count(): number {
    return this.#addresses.length;
  }

  async current(signal: AbortSignal | undefined): Promise<RpcConnection<Control>> {
    if (this.#connection !== undefined) return this.#connection;
    const address = (await firstReachable(this.#addresses, signal)) ?? this.#addresses[0];
    this.#connection ??= createRpcClient(ControlServiceService, { address });
    return this.#connection;
  }

  /** Calls to it that are under way fail too, and find another. */
  leave(server: RpcConnection<Control>): void {
    if (this.#connection === server) this.#connection = undefined;
    server.close();
  }

  close(): void {
    this.#connection?.close();
  }
}

/** A server that is cut short in the middle of calls cancels them. */
function isConnectionLost(error: unknown): boolean {
  return isBerthError(error, "BERTH_SERVER_UNREACHABLE") || isBerthError(error, "BERTH_CANCELLED");
}

/** The call's options with a signal that also fires when the server's host falls silent. */
function watchHost(address: string, options: CallOptions): { readonly options: CallOptions; end(): void } {
  const { host, port } = splitAddress(address);
  const over = new AbortController();
  const gone = new AbortController();
  const begin = async (): Promise<void> => {
    const isSilent = await untilSilent({ ...WATCH, probe: probeHost, address: host, port }, over.signal);
    if (isSilent) gone.abort(hostSilentError(address));
  };
  const timer = isIP(host) === 0 ? undefined : setTimeout(() => void begin(), WATCH_AFTER_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, gone.signal]) : gone.signal;
  const end = (): void => {
    clearTimeout(timer);
    over.abort();
  };
  return { options: { ...options, signal }, end };
}

/** The first address that accepts a connection, each tried a little after the one before; undefined if none does. */
function firstReachable(
  addresses: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const sockets: Socket[] = [];
  const timers: NodeJS.Timeout[] = [];
  return new Promise<string | undefined>((resolve) => {
    let waitingFor = addresses.length;
    signal?.addEventListener("abort", () => resolve(undefined), { once: true });
    timers.push(setTimeout(() => resolve(undefined), CONNECT_TIMEOUT_MS));
    const knock = (address: string): void => {
      const socket = connect(splitAddress(address));
      sockets.push(socket);
      socket.once("connect", () => resolve(address));
      socket.on("error", () => {
        waitingFor -= 1;
        if (waitingFor === 0) resolve(undefined);
      });
    };
    for (const [index, address] of addresses.entries()) {
      timers.push(setTimeout(() => knock(address), index * STAGGER_MS));
    }
  }).finally(() => {
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

function hostSilentError(address: string): BerthError {
  const message = `the berth server at ${address} does not answer any more: its host is silent`;
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}
