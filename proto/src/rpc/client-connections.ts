import { type ChannelCredentials, Client } from "@grpc/grpc-js";
import { BerthError } from "../errors.js";
import { clientOptions } from "./channel-options.js";
import { localChannelCredentials, nodeChannelCredentials, tlsChannelCredentials } from "./credentials.js";
import { MAX_STREAMS, type MessageLimits } from "./limits.js";
import { type RpcIdentity, trustOf } from "./rpc-identity.js";
import { unixAddress } from "./unix-socket.js";

/** The server that a client calls. It connects with the first call. */
export type RpcClientOptions = TcpClientOptions | UnixClientOptions;

export interface TcpClientOptions {
  /** "host:port" */
  readonly address: string;
  readonly identity: RpcIdentity;
  /** Marks every call as forwarded by another server. */
  readonly forwarded?: boolean;
  /** The node whose agent is called. Undefined to call a server. */
  readonly nodeId?: string;
}

/** A client of a Unix socket has no identity: the server admits only its own user. */
export interface UnixClientOptions {
  /** Path of the socket. */
  readonly socket: string;
}

/** A gRPC client and the number of its calls. It reconnects with the same certificate. */
export class ClientConnection {
  readonly client: Client;
  readonly address: string;
  /** The cluster whose callers the connection forwards. Undefined if it forwards no calls. */
  readonly forwardedCluster: string | undefined;
  #openCalls = 0;
  #isRetired = false;

  constructor(options: RpcClientOptions, limits: MessageLimits) {
    this.address = addressOf(options);
    this.client = new Client(this.address, credentialsOf(options), clientOptions(limits));
    this.forwardedCluster = forwardedClusterOf(options);
  }

  /** Whether the connection was retired and its last call has ended. */
  get isClosed(): boolean {
    return this.#isRetired && this.#openCalls === 0;
  }

  /** Starts to connect, unless a call has done so. */
  connect(): void {
    this.client.getChannel().getConnectivityState(true);
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

  /** Closes the connection once its calls have ended. */
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
  readonly #options: RpcClientOptions;
  readonly #limits: MessageLimits;
  readonly #open = new Set<ClientConnection>();
  readonly #unsubscribe: (() => void) | undefined;
  #current: ClientConnection;

  constructor(options: RpcClientOptions, limits: MessageLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#current = this.#connect();
    this.#unsubscribe = identityOf(options)?.subscribe(() => this.#replace());
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
    for (const connection of this.#open) {
      if (connection.isClosed) this.#open.delete(connection);
    }
    const connection = new ClientConnection(this.#options, this.#limits);
    this.#open.add(connection);
    return connection;
  }
}

/** Returns "host:port", or "unix:/path". */
export function addressOf(options: RpcClientOptions): string {
  return "socket" in options ? unixAddress(options.socket) : options.address;
}

function identityOf(options: RpcClientOptions): RpcIdentity | undefined {
  return "socket" in options ? undefined : options.identity;
}

/**
 * @throws BerthError BERTH_UNAUTHENTICATED without an identity for a TCP address, which object spreads can hide from
 * the compiler
 */
function credentialsOf(options: RpcClientOptions): ChannelCredentials {
  if ("socket" in options) return localChannelCredentials();
  const { address, identity, nodeId }: Partial<TcpClientOptions> = options;
  if (identity !== undefined) {
    return nodeId === undefined
      ? tlsChannelCredentials(identity.current)
      : nodeChannelCredentials(identity.current, nodeId);
  }
  const message = `cannot connect to the berth server at ${address} without an identity`;
  throw new BerthError({ code: "BERTH_UNAUTHENTICATED", message });
}

function forwardedClusterOf(options: RpcClientOptions): string | undefined {
  if ("socket" in options || options.forwarded !== true) return undefined;
  return trustOf(options.identity.current).cluster;
}
