import { assertNever, DispatcherServiceService } from "@berth/proto";
import type { RpcConnection, RpcTransport } from "@berth/proto/rpc";
import { MAX_SERVERS } from "./next-attempt.js";
import type { DispatcherCalls } from "./session-call.js";

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
  /** By address. The first one was used least recently. */
  readonly #open = new Map<string, OpenConnection>();

  constructor(transport: RpcTransport) {
    this.#transport = transport;
  }

  /** Returns the client of a server. The first call connects. */
  callsTo(address: string): DispatcherCalls {
    const open = this.#open.get(address) ?? {
      connection: this.#transport.connect(DispatcherServiceService, { address }),
      unanswered: 0,
    };
    this.#open.delete(address);
    this.#open.set(address, open);
    if (this.#open.size > MAX_SERVERS) this.#closeFirst();
    return open.connection.calls;
  }

  /** Keeps or closes the connection to a server after an attempt. */
  recordOutcome(address: string, outcome: AttemptOutcome): void {
    const open = this.#open.get(address);
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
    for (const address of [...this.#open.keys()]) if (address !== leader) this.#close(address);
  }

  closeAll(): void {
    for (const address of [...this.#open.keys()]) this.#close(address);
  }

  #closeFirst(): void {
    const [first] = this.#open.keys();
    if (first !== undefined) this.#close(first);
  }

  #close(address: string): void {
    this.#open.get(address)?.connection.close();
    this.#open.delete(address);
  }
}
