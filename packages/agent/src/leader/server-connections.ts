import { assertNever, DispatcherServiceService } from "@berth/proto";
import type { RpcConnection, RpcTransport } from "@berth/proto/rpc";
import { MAX_SERVERS } from "./next-attempt.js";
import type { DispatcherClient } from "./session-call.js";

/**
 * Maximum number of consecutive unanswered attempts on a connection. The next attempt uses a new connection, since a
 * firewall may have dropped the state of the old one.
 */
const MAX_UNANSWERED = 3;

/** The outcome of an attempt to open a session. */
export type AttemptOutcome =
  /** The server responded that it is not the leader, or that it does not accept the node. */
  | "answered"
  /** The server did not respond in time, but its host responds to probes. */
  | "unanswered"
  /** The connection is broken, or a session on it has ended. */
  | "ended";

interface OpenConnection {
  readonly connection: RpcConnection<typeof DispatcherServiceService>;
  unanswered: number;
}

/**
 * The connections to the servers that an agent tries until it has found the leader.
 *
 * A TLS handshake takes the server some milliseconds. When a leader is lost, its agents call the other servers several
 * times before the next leader responds. A new connection for each call would keep that leader from loading its
 * records.
 */
export class ServerConnections {
  readonly #transport: RpcTransport;
  /** By address, in the order of use: the first one was used least recently. */
  readonly #openConnections = new Map<string, OpenConnection>();

  constructor(transport: RpcTransport) {
    this.#transport = transport;
  }

  /** Returns the client of a server. The first call connects. */
  callsTo(address: string): DispatcherClient {
    const open = this.#openConnections.get(address) ?? {
      connection: this.#transport.connect(DispatcherServiceService, { address }),
      unanswered: 0,
    };
    this.#openConnections.delete(address);
    this.#openConnections.set(address, open);
    if (this.#openConnections.size > MAX_SERVERS) this.#closeLeastRecentlyUsed();
    return open.connection.calls;
  }

  /** Keeps or closes the connection to a server after an attempt. */
  recordOutcome(address: string, outcome: AttemptOutcome): void {
    const open = this.#openConnections.get(address);
    if (open === undefined) return;
    switch (outcome) {
      case "answered":
        open.unanswered = 0;
        return;
      case "unanswered":
        open.unanswered += 1;
        if (open.unanswered >= MAX_UNANSWERED) this.#close(address);
        return;
      case "ended":
        this.#close(address);
        return;
      default:
        assertNever(outcome);
    }
  }

  /** Closes the connections to all servers but one, which has turned out to be the leader. */
  closeOthers(leader: string): void {
    for (const address of [...this.#openConnections.keys()]) if (address !== leader) this.#close(address);
  }

  closeAll(): void {
    for (const address of [...this.#openConnections.keys()]) this.#close(address);
  }

  #closeLeastRecentlyUsed(): void {
    const [first] = this.#openConnections.keys();
    if (first !== undefined) this.#close(first);
  }

  #close(address: string): void {
    this.#openConnections.get(address)?.connection.close();
    this.#openConnections.delete(address);
  }
}
