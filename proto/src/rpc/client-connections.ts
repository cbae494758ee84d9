import { Client } from "@grpc/grpc-js";
import { clientOptions } from "./channel-options.js";
import { channelCredentials } from "./credentials.js";
import { MAX_STREAMS, type MessageLimits } from "./limits.js";
import { type RpcIdentity, trustOf } from "./rpc-identity.js";

export interface ClientConnectionsOptions {
  readonly address: string;
  readonly forwarded?: boolean;
  readonly identity?: RpcIdentity;
}

/** A gRPC client and the number of its calls. It reconnects with the same certificate. */
export class ClientConnection {
  readonly client: Client;
  readonly address: string;
  readonly isForwarding: boolean;
  /** Undefined without TLS. */
  readonly cluster: string | undefined;
  #openCalls = 0;
  #isRetired = false;

  constructor({ address, forwarded = false, identity }: ClientConnectionsOptions, limits: MessageLimits) {
    const material = identity?.current;
    this.client = new Client(address, channelCredentials(material), clientOptions(limits));
    this.address = address;
    this.isForwarding = forwarded;
    this.cluster = material && trustOf(material).cluster;
  }

  /** Whether the connection was retired and its last call has ended. */
  get isClosed(): boolean {
    return this.#isRetired && this.#openCalls === 0;
  }

  /** Counts a call. Returns false when too many are open: a further one would wait for one of them to end. */
  startCall(): boolean {
    if (this.#openCalls >= MAX_STREAMS) return false;
    this.#openCalls += 1;
    return true;
  }

  endCall(): void {
    this.#openCalls -= 1;
    if (this.isClosed) this.client.close();
  }

  /** Closes the connection when its calls have ended. */
  retire(): void {
    this.#isRetired = true;
    if (this.isClosed) this.client.close();
  }
}

/**
 * The connections of a client to one server: the current one, and older ones whose calls are still in progress.
 *
 * Each change of the identity leads to a new connection, since a connection keeps the certificate that it was opened
 * with. Calls in progress continue on the old connection until they end, or until the old certificate expires.
 */
export class ClientConnections {
  readonly #options: ClientConnectionsOptions;
  readonly #limits: MessageLimits;
  readonly #open = new Set<ClientConnection>();
  readonly #unsubscribe: (() => void) | undefined;
  #current: ClientConnection;

  constructor(options: ClientConnectionsOptions, limits: MessageLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#current = this.#connect();
    this.#unsubscribe = options.identity?.subscribe(() => this.#replace());
  }

  /** The connection for the next call. */
  get current(): ClientConnection {
    return this.#current;
  }

  /** Closes all connections. Calls in progress fail. */
  close(): void {
    this.#unsubscribe?.();
    for (const { client } of this.#open) client.close();
  }

  #replace(): void {
    this.#current.retire();
    this.#current = this.#connect();
  }

  #connect(): ClientConnection {
    for (const connection of this.#open) if (connection.isClosed) this.#open.delete(connection);
    const connection = new ClientConnection(this.#options, this.#limits);
    this.#open.add(connection);
    return connection;
  }
}
