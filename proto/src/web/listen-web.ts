import { once } from "node:events";
import { createServer, type Server as HttpServer } from "node:http";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { listenError } from "../listen-error.js";
import type { RpcIdentity } from "../rpc/rpc-identity.js";
import { webTlsOptions } from "../rpc/tls-listener.js";
import type { WebGateway } from "./gateway.js";

/** Maximum number of browser connections. A tab opens a few with HTTP/1.1, and one with HTTP/2. */
const MAX_CONNECTIONS = 1_024;

/** Time after which a silent connection is closed. Streams have a message or a comment every few seconds. */
const IDLE_TIMEOUT_MS = 60_000;

/** Time limit for a TLS handshake. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** Time limit for a request to arrive. Without this limit, slow clients could hold all connections. */
const REQUEST_TIMEOUT_MS = 60_000;

export interface WebListener {
  /** "host:port" with the actual port. */
  readonly address: string;
  /** Closes the listener and all connections. */
  close(): void;
}

export interface ListenWebOptions {
  /** "host:port"; port 0 picks a free one. */
  readonly listen: string;
  /** The certificate for HTTPS. Undefined for HTTP. */
  readonly identity?: RpcIdentity | undefined;
  /** Command-line option that sets the address, for the error message. */
  readonly option: string;
}

/**
 * Starts the listener of a gateway. It speaks HTTP/1.1, and with a certificate also HTTP/2.
 *
 * @throws BerthError BERTH_ADDRESS_IN_USE if another process uses the port, BERTH_INPUT_INVALID for an unusable address
 */
export async function listenWeb(
  gateway: Pick<WebGateway, "handle" | "upgrade">,
  { listen, identity, option }: ListenWebOptions,
): Promise<WebListener> {
  const secureServer = identity && createHttpsServer(identity);
  const server: WebServer = secureServer ?? createServer({ requestTimeout: REQUEST_TIMEOUT_MS });
  server.on("request", (request, response) => gateway.handle(request, response));
  server.on("upgrade", (request, socket, head) => gateway.upgrade(request, socket, head));
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(IDLE_TIMEOUT_MS);
  const sockets = trackSockets(server);
  const unsubscribeIdentity = identity?.subscribe(() =>
    secureServer?.setSecureContext(webTlsOptions(identity.current)),
  );
  const colon = listen.lastIndexOf(":");
  const host = listen.slice(0, colon);
  server.listen(Number(listen.slice(colon + 1)), host.replace(/^\[|\]$/g, ""));
  try {
    await once(server, "listening");
  } catch (cause) {
    unsubscribeIdentity?.();
    const advice = `choose another address with ${option}`;
    throw listenError({ address: listen, purpose: "the web UI", advice, cause });
  }
  return {
    address: `${host}:${(server.address() as AddressInfo).port}`,
    close: () => {
      unsubscribeIdentity?.();
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

type WebServer = Http2SecureServer | HttpServer;

function createHttpsServer(identity: RpcIdentity): Http2SecureServer {
  const server = createSecureServer({
    ...webTlsOptions(identity.current),
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    allowHTTP1: true,
  });
  // Applies to HTTP/1.1. The option of the constructor exists only in the types of plain HTTP.
  return Object.assign(server, { requestTimeout: REQUEST_TIMEOUT_MS });
}

/** Returns a live set of the server's open connections, including those whose TLS handshake is in progress. */
function trackSockets(server: WebServer): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  server.on("connection", track);
  server.on("secureConnection", track);
  return sockets;
}
