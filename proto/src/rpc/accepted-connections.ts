import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { describeIdentity } from "../identity/identity.js";
import { CallerConnection, type CallerPolicy } from "./caller-connection.js";
import { type ConnectionLimits, LimitedConnections } from "./limited-connections.js";
import { sourceOf } from "./source.js";

export interface ListenerLimits {
  /** Connections that have not finished their TLS handshake, by source. */
  readonly handshakes: ConnectionLimits;
  /** Connections without a certificate of the cluster, by source. */
  readonly strangers: ConnectionLimits;
  /** Time limit of a connection without a certificate of the cluster. */
  readonly strangerTimeoutMs: number;
  /** Connections with a certificate of the cluster, by identity. */
  readonly members: ConnectionLimits;
}

/**
 * Limits of a listener. A pending handshake has buffers of about 50 KiB. A leader's agents all return within seconds,
 * and those behind one address translation have the same address; a rejected agent tries again. A host or user joins
 * with one call. Each command of a user has a connection.
 */
export const LISTENER_LIMITS: ListenerLimits = {
  handshakes: { total: 2_048, perGroup: 512 },
  strangers: { total: 512, perGroup: 128 },
  strangerTimeoutMs: 60_000,
  members: { total: Number.POSITIVE_INFINITY, perGroup: 256 },
};

/** The addresses of a TCP connection. No two open connections of a host have the same ones. */
export interface ConnectionAddresses {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** The open connections of a TLS listener, with their callers. Closes connections beyond the limits. */
export class AcceptedConnections {
  readonly #handshakes: LimitedConnections;
  readonly #strangers: LimitedConnections;
  readonly #members: LimitedConnections;
  readonly #strangerTimeoutMs: number;
  readonly #connections = new Map<string, CallerConnection>();
  #policy: CallerPolicy;

  constructor(limits: ListenerLimits, policy: CallerPolicy) {
    this.#handshakes = new LimitedConnections(limits.handshakes);
    this.#strangers = new LimitedConnections(limits.strangers);
    this.#members = new LimitedConnections(limits.members);
    this.#strangerTimeoutMs = limits.strangerTimeoutMs;
    this.#policy = policy;
  }

  /** Counts a connection whose handshake starts. Returns false if there are too many, and the connection was closed. */
  beginHandshake(socket: Socket): boolean {
    return this.#handshakes.add(keyOf(socket), socket, sourceOf(socket.remoteAddress ?? ""));
  }

  /** Adds a connection after its handshake. Returns false if there are too many, and the connection was closed. */
  add(socket: TLSSocket): boolean {
    const key = keyOf(socket);
    const connection = new CallerConnection(socket, this.#policy);
    this.#handshakes.delete(key);
    const { issuedTo } = connection;
    if (issuedTo !== undefined) {
      if (!this.#members.add(key, socket, describeIdentity(issuedTo))) return false;
    } else {
      if (!this.#strangers.add(key, socket, sourceOf(socket.remoteAddress ?? ""))) return false;
      closeAfter(socket, this.#strangerTimeoutMs);
    }
    this.#connections.set(key, connection);
    socket.once("close", () => {
      // A later connection can have the same key.
      if (this.#connections.get(key) === connection) this.#connections.delete(key);
    });
    return true;
  }

  find(addresses: ConnectionAddresses): CallerConnection | undefined {
    return this.#connections.get(keyOf(addresses));
  }

  /** Verifies the certificates of all connections again, with this policy. */
  review(policy: CallerPolicy): void {
    this.#policy = policy;
    for (const connection of this.#connections.values()) connection.review(policy);
  }

  /** Closes the connections that have not finished their handshake. */
  closeHandshakes(): void {
    this.#handshakes.closeAll();
  }
}

function closeAfter(socket: Socket, timeoutMs: number): void {
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
}

function keyOf({ localAddress, localPort, remoteAddress, remotePort }: ConnectionAddresses): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}
