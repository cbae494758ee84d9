import { setMaxListeners } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const TICK_MS = 4;
/** Maximum number of connections to catch up on after a delay of the generator itself. More would be a burst. */
const MAX_BURST = 25;
/** Maximum number of recorded results: about an hour of load. */
const MAX_RESULTS = 2_000_000;
const REQUEST_ONCE = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
const REQUEST_KEPT = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

export interface Target {
  readonly address: string;
  readonly port: number;
  /** Timeout from the connection attempt to the end of the reply. */
  readonly timeoutMs: number;
}

export interface LoadOptions extends Omit<Target, "address"> {
  /** Target addresses, used in turn. */
  readonly addresses: readonly string[];
  /** New connections per second, each for one request. */
  readonly perSecond: number;
  /** Clients that keep their connections open and each send a request every `everyMs`. */
  readonly kept?: { readonly clients: number; readonly everyMs: number };
  /** Called for each reply with status 200. */
  readonly onReply?: (reply: Reply) => void;
}

export interface Reply {
  readonly body: string;
  /** When the reply was complete, in milliseconds since the epoch. */
  readonly atMs: number;
}

export interface RequestResult {
  readonly client: "new" | "kept";
  /** Milliseconds since the epoch. */
  readonly sentAtMs: number;
  /**
   * Time from the connection attempt to the end of the reply. The handshake alone proves nothing, because a proxy
   * accepts connections before it has connected to an endpoint.
   */
  readonly latencyMs: number;
  /** Error code or reason. Empty if the reply had status 200. */
  readonly failure: string;
}

export interface LoadResult {
  readonly results: readonly RequestResult[];
  /** Number of requests that clients sent again because the server had closed the idle connection. */
  readonly resent: number;
}

export interface Load {
  /** Stops sending, waits for the requests in flight, and returns all results in the order of completion. */
  readonly stop: () => Promise<LoadResult>;
}

/** Sends HTTP requests at a constant rate until stopped. A slow reply does not delay other requests. */
export function startLoad(options: LoadOptions): Load {
  const { kept } = options;
  const results: RequestResult[] = [];
  const stopped = new AbortController();
  setMaxListeners(0, stopped.signal);
  let resent = 0;
  const record = (result: RequestResult): void => {
    if (results.length < MAX_RESULTS) results.push(result);
  };
  const clients = Array.from({ length: kept?.clients ?? 0 }, (_, index) =>
    runKeptClient(
      { ...options, index, everyMs: kept?.everyMs ?? 0 },
      record,
      () => {
        resent += 1;
      },
      stopped.signal,
    ),
  );
  const newConnections = openConnections(options, record, stopped.signal);
  return {
    stop: async () => {
      stopped.abort();
      await Promise.all([newConnections, ...clients]);
      return { results, resent };
    },
  };
}

/** Sends one request on a new connection and returns its result and body. Never rejects. */
export function requestOnce(target: Target): Promise<RequestResult & { readonly body: string }> {
  const sentAtMs = Date.now();
  const startedAt = performance.now();
  return exchange(new KeptConnection(target), REQUEST_ONCE).then(({ failure, body, connection }) => {
    connection.close();
    return { client: "new", sentAtMs, latencyMs: performance.now() - startedAt, failure, body };
  });
}

/** Opens connections at a constant rate until the signal is aborted. Resolves once no request is in flight. */
async function openConnections(
  { addresses, port, timeoutMs, perSecond, onReply }: LoadOptions,
  record: (result: RequestResult) => void,
  signal: AbortSignal,
): Promise<void> {
  const startedAt = performance.now();
  const inFlight = new Set<Promise<void>>();
  let sent = 0;
  while (!signal.aborted) {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond);
    sent = Math.max(sent, due - MAX_BURST);
    for (; sent < due; sent += 1) {
      const address = addresses[sent % addresses.length] ?? "";
      const done = requestOnce({ address, port, timeoutMs }).then(({ body, ...result }) => {
        record(result);
        if (result.failure === "") onReply?.({ body, atMs: Date.now() });
        inFlight.delete(done);
      });
      inFlight.add(done);
    }
    await sleep(TICK_MS, undefined, { signal }).catch(() => {});
  }
  await Promise.all(inFlight);
}

/**
 * Sends a request on the same connection every `everyMs` until the signal is aborted. Like every HTTP client, retries
 * on a new connection if the server closed the idle one before the first byte of the reply.
 */
async function runKeptClient(
  options: LoadOptions & { readonly index: number; readonly everyMs: number },
  record: (result: RequestResult) => void,
  onResent: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { addresses, port, timeoutMs, index, everyMs, kept, onReply } = options;
  const target = { address: addresses[index % addresses.length] ?? "", port, timeoutMs };
  let connection: KeptConnection | undefined;
  const pause = (ms: number): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {});
  await pause((everyMs * index) / (kept?.clients ?? 1));
  while (!signal.aborted) {
    const sentAtMs = Date.now();
    const startedAt = performance.now();
    const reused = connection?.isOpen === true ? connection : undefined;
    connection = reused ?? new KeptConnection(target);
    let outcome = await exchange(connection, REQUEST_KEPT);
    if (outcome.failure !== "" && reused !== undefined && !outcome.hasReply) {
      onResent();
      connection = new KeptConnection(target);
      outcome = await exchange(connection, REQUEST_KEPT);
    }
    const { failure } = outcome;
    record({ client: "kept", sentAtMs, latencyMs: performance.now() - startedAt, failure });
    if (failure === "") onReply?.({ body: outcome.body, atMs: Date.now() });
    await pause(everyMs);
  }
  connection?.close();
}

interface Outcome {
  readonly connection: KeptConnection;
  readonly failure: string;
  readonly body: string;
  /** Whether the first byte of the reply has arrived. */
  readonly hasReply: boolean;
}

async function exchange(connection: KeptConnection, request: string): Promise<Outcome> {
  return { connection, ...(await connection.send(request)) };
}

/** An HTTP/1.1 connection that carries one request at a time. */
class KeptConnection {
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  #received = "";
  #finish: (failure: string, body?: string) => void = () => {};
  isOpen = true;

  constructor({ address, port, timeoutMs }: Target) {
    this.#timeoutMs = timeoutMs;
    this.#socket = connect({ host: address, port, noDelay: true });
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (chunk: string) => this.#onData(chunk));
    this.#socket.on("error", (error) => this.#fail("code" in error ? String(error.code) : error.message));
    this.#socket.on("end", () => this.#fail("closed without a reply"));
  }

  send(request: string): Promise<Omit<Outcome, "connection">> {
    this.#received = "";
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#fail(`no reply in ${this.#timeoutMs} ms`), this.#timeoutMs);
      this.#finish = (failure, body = "") => {
        clearTimeout(timer);
        this.#finish = () => {};
        resolve({ failure, body, hasReply: this.#received !== "" });
      };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.isOpen = false;
    this.#socket.destroy();
  }

  #onData(chunk: string): void {
    this.#received += chunk;
    const reply = parseReply(this.#received);
    if (reply !== undefined) this.#finish(reply.status === 200 ? "" : `status ${reply.status}`, reply.body);
  }

  #fail(failure: string): void {
    this.close();
    this.#finish(failure);
  }
}

/** Parses a complete reply. Returns undefined while bytes are missing. */
function parseReply(received: string): { readonly status: number; readonly body: string } | undefined {
  const headEnd = received.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(received)?.[1] ?? 0);
  const body = received.slice(headEnd + 4);
  if (body.length < length) return undefined;
  return { status: Number(received.slice(9, 12)), body: body.slice(0, length).trim() };
}
