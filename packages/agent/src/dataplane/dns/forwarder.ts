import { createSocket, type Socket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { isResponseTo, isTruncatedReply, readMessages, withId, writeMessage } from "./message.js";
import { UpstreamHealth } from "./upstream-health.js";

/** Docker's resolver waits 4 s: two attempts fit, with time left for a failure reply. */
const ATTEMPT_TIMEOUT_MS = 1_500;
const MAX_ATTEMPTS = 2;
/** Limit of concurrent queries. Further queries are answered with a failure at once. */
const MAX_PENDING = 1_000;
const MAX_ID = 65_536;

export interface ForwarderOptions {
  /** Returns a number from 0 up to 1. Message IDs must not be predictable. */
  readonly random: () => number;
  readonly port: number;
  /** Monotonic clock, in ms. */
  readonly now: () => number;
}

/** Forwards the DNS server's queries for external names to other name servers. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #health: UpstreamHealth;
  #pending = 0;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#health = new UpstreamHealth(options.now);
  }

  /**
   * Queries the servers one after the other and returns the first answer. Returns undefined when none answered in time,
   * all are down, or too many queries are pending. Never rejects.
   */
  async forward(query: Buffer, servers: readonly string[], isOverTcp: boolean): Promise<Buffer | undefined> {
    if (this.#pending >= MAX_PENDING) return undefined;
    this.#pending += 1;
    try {
      const up = servers.filter((server) => !this.#health.isDown(server));
      // A datagram may be lost: a single server is queried twice.
      for (const server of [...up, ...up].slice(0, MAX_ATTEMPTS)) {
        const answer = await this.#queryServer(query, server, isOverTcp);
        if (answer !== undefined) return withId(answer, query.readUInt16BE(0));
      }
      return undefined;
    } finally {
      this.#pending -= 1;
    }
  }

  async #queryServer(query: Buffer, server: string, isOverTcp: boolean): Promise<Buffer | undefined> {
    const { random, port } = this.#options;
    const id = Math.floor(random() * MAX_ID);
    const send = isOverTcp ? sendOverTcp : sendOverUdp;
    // A truncated answer is passed on. The client then retries over TCP.
    const reply = await send(withId(query, id), { id, server, port });
    if (reply === "timeout") this.#health.recordTimeout(server);
    else this.#health.recordAnswer(server);
    return reply instanceof Buffer ? reply : undefined;
  }
}

type Reply = Buffer | "refused" | "timeout";

/** A refusal comes at once from a host that is up. Other errors, such as EHOSTUNREACH, count as no answer. */
function replyForError(error: Error): Reply {
  return "code" in error && error.code === "ECONNREFUSED" ? "refused" : "timeout";
}

/** A name server and the message ID of the query. */
interface Upstream {
  readonly id: number;
  readonly server: string;
  readonly port: number;
}

/** Uses a new socket for each query: with a random port and a random ID, an answer is hard to forge. */
function sendOverUdp(query: Buffer, { id, server, port }: Upstream): Promise<Reply> {
  return new Promise((resolve) => {
    const socket: Socket = createSocket(isIPv6(server) ? "udp6" : "udp4");
    const finish = (reply: Reply): void => {
      clearTimeout(timer);
      socket.close();
      resolve(reply);
    };
    const timer = setTimeout(() => finish("timeout"), ATTEMPT_TIMEOUT_MS);
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

function sendOverTcp(query: Buffer, { id, server, port }: Upstream): Promise<Reply> {
  return new Promise((resolve) => {
    const socket = connect({ host: server, port });
    const finish = (reply: Reply): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(reply);
    };
    const timer = setTimeout(() => finish("timeout"), ATTEMPT_TIMEOUT_MS);
    socket.once("error", (error) => finish(replyForError(error)));
    socket.once("close", () => finish("refused"));
    readMessages(socket, (bytes) => {
      if (isResponseTo(bytes, id) && !isTruncatedReply(bytes)) finish(bytes);
    });
    writeMessage(socket, query);
  });
}
