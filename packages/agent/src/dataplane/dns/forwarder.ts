import { createSocket, type Socket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { isResourceError } from "../../runtime/resource-error.js";
import { ClientQuota, type QuotaClient } from "./client-quota.js";
import {
  createRootQuery,
  isResponseTo,
  isTruncatedReply,
  MAX_MESSAGE_BYTES,
  readMessages,
  withId,
  writeMessage,
} from "./message.js";
import { UpstreamHealth } from "./upstream-health.js";

/** Timeout of one attempt. Docker's resolver waits 4 s, so two attempts fit, with time left for a failure reply. */
const ATTEMPT_TIMEOUT_MS = 1_500;
/** Maximum number of servers that a query is forwarded to. */
const MAX_ATTEMPTS = 2;
/** Timeout of a probe. A server answers the root query from its cache. */
const PROBE_TIMEOUT_MS = 500;
/** Limits of concurrent queries. Further queries are answered with a failure at once. Each query uses one descriptor. */
const MAX_PENDING = { perClient: 100, perNetwork: 500, total: 2_000 } as const;
const MAX_ID = 65_536;

export interface ForwarderOptions {
  /** Returns a number from 0 up to 1. Message IDs must not be predictable. */
  readonly random: () => number;
  readonly port: number;
  /** Monotonic clock, in ms. */
  readonly now: () => number;
}

/** A query of a client for an external name. */
export interface ForwardedQuery {
  readonly bytes: Buffer;
  readonly client: QuotaClient;
  /** Addresses of the name servers, in order of preference. */
  readonly servers: readonly string[];
  readonly isOverTcp: boolean;
}

/** Forwards the DNS server's queries for external names to other name servers. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #health: UpstreamHealth;
  readonly #quota = new ClientQuota(MAX_PENDING);

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#health = new UpstreamHealth({ now: options.now, probe: (server) => this.#probe(server) });
  }

  /**
   * Queries the servers one after another and returns the first answer. Returns undefined if no server responded in
   * time, all are down, or too many queries are pending. Never rejects.
   */
  async forward({ bytes, client, servers, isOverTcp }: ForwardedQuery): Promise<Buffer | undefined> {
    if (!this.#quota.tryAcquire(client)) return undefined;
    try {
      const up = this.#selectServers(servers);
      // A datagram may be lost: a single server is queried twice.
      for (const server of [...up, ...up].slice(0, MAX_ATTEMPTS)) {
        const answer = await this.#queryServer(bytes, server, isOverTcp ? sendOverTcp : sendOverUdp);
        if (answer !== undefined) return withId(answer, bytes.readUInt16BE(0));
      }
      return undefined;
    } finally {
      this.#quota.release(client);
    }
  }

  #selectServers(servers: readonly string[]): readonly string[] {
    const down = servers.filter((server) => this.#health.isDown(server));
    for (const server of down) this.#health.recordSkipped(server);
    return servers.filter((server) => !down.includes(server));
  }

  async #queryServer(query: Buffer, server: string, send: Send): Promise<Buffer | undefined> {
    const sentMs = this.#options.now();
    const upstream = { ...this.#upstream(server), timeoutMs: ATTEMPT_TIMEOUT_MS };
    // A truncated answer is passed on. The client then retries over TCP.
    const reply = await send(withId(query, upstream.id), upstream);
    if (reply === "timeout") this.#health.recordTimeout(server, sentMs);
    else if (reply !== "unsent") this.#health.recordReply(server);
    return reply instanceof Buffer ? reply : undefined;
  }

  async #probe(server: string): Promise<void> {
    const upstream = { ...this.#upstream(server), timeoutMs: PROBE_TIMEOUT_MS };
    const reply = await sendOverUdp(createRootQuery(upstream.id), upstream);
    // Without a descriptor, the query says nothing about the server.
    if (reply !== "timeout") this.#health.recordReply(server);
  }

  #upstream(server: string): Omit<Upstream, "timeoutMs"> {
    const { random, port } = this.#options;
    return { id: Math.floor(random() * MAX_ID), server, port };
  }
}

/** "unsent": this process has no descriptors or memory for the query. */
type Reply = Buffer | "refused" | "timeout" | "unsent";
type Send = (query: Buffer, upstream: Upstream) => Promise<Reply>;

/** A refusal comes at once from a host that is up. Other errors, such as EHOSTUNREACH, count as no response. */
function replyForError(error: Error): Reply {
  const code = "code" in error ? String(error.code) : "";
  if (isResourceError(code)) return "unsent";
  return code === "ECONNREFUSED" ? "refused" : "timeout";
}

/** A name server and the message ID of the query. */
interface Upstream {
  readonly id: number;
  readonly server: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** Uses a new socket for each query: with a random port and a random ID, a reply is hard to forge. */
function sendOverUdp(query: Buffer, { id, server, port, timeoutMs }: Upstream): Promise<Reply> {
  return new Promise((resolve) => {
    const socket: Socket = createSocket(isIPv6(server) ? "udp6" : "udp4");
    const finish = (reply: Reply): void => {
      clearTimeout(timer);
      socket.close();
      resolve(reply);
    };
    const timer = setTimeout(() => finish("timeout"), timeoutMs);
    socket.once("error", (error) => finish(replyForError(error)));
    socket.on("message", (bytes) => {
      if (isResponseTo(bytes, id)) finish(bytes);
    });
    // A connected socket receives from this server only, and reports when its port is closed.
    socket.connect(port, server, (error?: Error) => {
      // Node passes the error to the callback only.
      if (error) finish(replyForError(error));
      else socket.send(query);
    });
  });
}

function sendOverTcp(query: Buffer, { id, server, port, timeoutMs }: Upstream): Promise<Reply> {
  return new Promise((resolve) => {
    const socket = connect({ host: server, port });
    const finish = (reply: Reply): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(reply);
    };
    const timer = setTimeout(() => finish("timeout"), timeoutMs);
    socket.once("error", (error) => finish(replyForError(error)));
    socket.once("close", () => finish("refused"));
    readMessages(socket, MAX_MESSAGE_BYTES, (bytes) => {
      if (isResponseTo(bytes, id) && !isTruncatedReply(bytes)) finish(bytes);
    });
    writeMessage(socket, query);
  });
}
