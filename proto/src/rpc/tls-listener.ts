import { constants } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, type Socket, Server as TcpServer } from "node:net";
import {
  createSecureContext,
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
  type TlsOptions,
  type Server as TlsServer,
} from "node:tls";
import type { Server } from "@grpc/grpc-js";
import { BerthError } from "../errors.js";
import { authorityServerName } from "../identity/fetch-authority.js";
import { scaleTiming } from "../timing-scale.js";
import {
  AcceptedConnections,
  type ConnectionAddresses,
  LISTENER_LIMITS,
  type ListenerLimits,
} from "./accepted-connections.js";
import type { RpcSecurity } from "./authorization.js";
import type { CallerConnection, CallerPolicy } from "./caller-connection.js";
import { localServerCredentials, TLS_VERSION } from "./credentials.js";
import { DOWNLOAD_PROTOCOL } from "./download-protocol.js";
import type { DownloadServer } from "./download-server.js";
import { PacedQueue } from "./paced-queue.js";
import { buildServerChain, type RpcIdentity, type TlsMaterial, trustOf } from "./rpc-identity.js";

const GRPC_PROTOCOL = "h2";
const HTTP_PROTOCOL = "http/1.1";

/** Timeout of a TLS handshake, which takes milliseconds of CPU time on each side. */
const HANDSHAKE_TIMEOUT_MS = scaleTiming(10_000);

/**
 * Maximum time in one turn of the event loop for starting TLS handshakes, and for accepting the connections that
 * completed theirs. Each of them takes one to two milliseconds of CPU time. The agents of a lost leader connect to the
 * other servers within half a second. Handling hundreds of them in one turn would keep a new leader from renewing its
 * lease.
 */
const CONNECTIONS_MS_PER_TURN = 25;

/** Serves HTTP/1.1 on the port of a gRPC server. */
export interface HttpAcceptor {
  /** Serves the requests of a connection. */
  accept(socket: TLSSocket): void;
  /** Ends all connections. */
  close(): void;
}

/** Accepts TLS connections for a gRPC server, and knows the caller of each one. */
export interface TlsListener {
  /** Port on which it listens. */
  readonly port: number;
  /** Returns an open connection. */
  find(addresses: ConnectionAddresses): CallerConnection | undefined;
  /** Stops listening. Established connections stay; the gRPC server closes them. */
  close(): void;
}

export interface ListenOptions {
  readonly limits?: ListenerLimits;
  /** Gets the connections that negotiate downloads. Undefined to accept none. */
  readonly downloads?: Pick<DownloadServer, "accept"> | undefined;
  /** Gets the connections that negotiate HTTP/1.1. Undefined to accept none. */
  readonly http?: HttpAcceptor | undefined;
}

/**
 * Listens for TLS connections and passes them to a gRPC server.
 *
 * grpc-js could terminate TLS itself, but it hides the certificates that do not verify: such callers would look like
 * callers without a certificate. It also allows TLS 1.2 after its certificate has been replaced.
 */
export async function listenTls(
  server: Server,
  address: string,
  security: RpcSecurity,
  { limits = LISTENER_LIMITS, downloads, http }: ListenOptions = {},
): Promise<TlsListener> {
  const { identity, revocations } = security;
  const injector = server.createConnectionInjector(localServerCredentials());
  const currentPolicy = (): CallerPolicy => ({ trust: trustOf(identity.current), revocations });
  const connections = new AcceptedConnections(limits, currentPolicy());
  const accept = (socket: TLSSocket): void => {
    if (socket.destroyed || !connections.add(socket)) return;
    if (downloads !== undefined && socket.alpnProtocol === DOWNLOAD_PROTOCOL) {
      downloads.accept(socket);
    } else if (http !== undefined && socket.alpnProtocol === HTTP_PROTOCOL) {
      http.accept(socket);
    } else {
      injector.injectConnection(socket);
    }
  };
  const accepting = new PacedQueue(CONNECTIONS_MS_PER_TURN, accept);
  const protocols = [
    // The server's order counts: curl offers HTTP/1.1 and h2, and a gRPC client offers h2 only.
    ...(downloads ? [DOWNLOAD_PROTOCOL] : []),
    ...(http ? [HTTP_PROTOCOL] : []),
    GRPC_PROTOCOL,
  ];
  const tls = createTlsServer(identity, protocols, (socket) => accepting.add(socket));
  const starting = new PacedQueue(CONNECTIONS_MS_PER_TURN, (socket: Socket) => {
    if (!socket.destroyed) tls.server.emit("connection", socket);
  });
  const tcp = new TcpServer({ pauseOnConnect: true }, (socket) => {
    if (!connections.beginHandshake(socket)) return;
    // The TLS server reports errors once it has the socket.
    socket.on("error", () => {});
    starting.add(socket);
  });
  const { host, port } = splitAddress(address);
  tcp.listen(port, host);
  await once(tcp, "listening");
  const review = (): void => connections.review(currentPolicy());
  const applyIdentity = (): void => {
    tls.applyIdentity();
    review();
  };
  const unsubscribes = [identity.subscribe(applyIdentity)];
  if (revocations !== undefined) unsubscribes.push(revocations.subscribe(review));
  // The identity may have changed before the subscription.
  applyIdentity();
  return {
    port: (tcp.address() as AddressInfo).port,
    find: (addresses) => connections.find(addresses),
    close: () => {
      for (const unsubscribe of unsubscribes) unsubscribe();
      tcp.close();
      connections.closeHandshakes();
    },
  };
}

interface IdentityTlsServer {
  /** Performs the handshakes of the connections that are emitted to it. */
  readonly server: TlsServer;
  /** Uses the current material of the identity for new connections. */
  applyIdentity(): void;
}

/** Creates a TLS server that presents an identity. */
function createTlsServer(
  identity: RpcIdentity,
  protocols: string[],
  onConnection: (socket: TLSSocket) => void,
): IdentityTlsServer {
  let contexts = authorityContexts(identity.current);
  const options: TlsOptions = {
    ...LISTENER_OPTIONS,
    ALPNProtocols: protocols,
    ...contextOptions(identity.current),
    // Without a context, the connection gets the default one.
    SNICallback: (name, respond) => respond(null, contexts.get(name)),
  };
  const server = createServer(options, (socket) => {
    // grpc-js reports a broken connection to its calls.
    socket.on("error", () => {});
    onConnection(socket);
  });
  return {
    server,
    applyIdentity: () => {
      server.setSecureContext(contextOptions(identity.current));
      contexts = authorityContexts(identity.current);
    },
  };
}

const LISTENER_OPTIONS = {
  requestCert: true,
  // Calls without a certificate, or with an invalid one, are rejected one by one, with a reason.
  rejectUnauthorized: false,
  ALPNProtocols: [GRPC_PROTOCOL],
  handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
} satisfies TlsOptions;

/** Returns the options of a TLS server that asks clients for a certificate, and decides later what it proves. */
export function serverTlsOptions(material: TlsMaterial): TlsOptions {
  const { requestCert, rejectUnauthorized, handshakeTimeout } = LISTENER_OPTIONS;
  return { requestCert, rejectUnauthorized, handshakeTimeout, ...contextOptions(material) };
}

/** Returns the options of a TLS server for browsers, which have no certificate. */
export function webTlsOptions(material: TlsMaterial): SecureContextOptions {
  const { minVersion, secureOptions, cert, key } = contextOptions(material);
  return { minVersion, secureOptions, cert, key };
}

/** Returns the options for new connections. Node.js drops options that a new context does not repeat. */
function contextOptions(material: TlsMaterial, fingerprint?: string): SecureContextOptions {
  const { authorities, leaf } = material;
  if (leaf === undefined) {
    throw new BerthError({ code: "BERTH_IDENTITY_INVALID", message: "a server needs a certificate" });
  }
  return {
    minVersion: TLS_VERSION,
    // A resumed session keeps the result of an earlier verification of its certificate.
    secureOptions: constants.SSL_OP_NO_TICKET,
    ca: authorities,
    cert: buildServerChain(leaf.certificate, trustOf(material), fingerprint),
    key: leaf.key,
  };
}

/** Returns the contexts for joining hosts, which ask for the chain to the authority of their token. */
function authorityContexts(material: TlsMaterial): ReadonlyMap<string, SecureContext> {
  const entries = trustOf(material).authorities.map(
    ({ fingerprint }) =>
      [authorityServerName(fingerprint), createSecureContext(contextOptions(material, fingerprint))] as const,
  );
  return new Map(entries);
}

/** Splits "host:port". An IPv6 address is in brackets. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return {
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"),
    port: Number(address.slice(colon + 1)),
  };
}
