import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, type Socket, Server as TcpServer } from "node:net";
import { listenError } from "../listen-error.js";
import { serverTlsOptions } from "../rpc/tls-listener.js";
import { type HttpClient, type HttpTrust, httpClientOf } from "./http-clients.js";

/** First byte of a TLS handshake. No HTTP request starts with this byte. */
const TLS_HANDSHAKE = 0x16;
/** Maximum number of connections. A monitoring system uses one at a time. */
const MAX_CONNECTIONS = 256;
/** Maximum number of requests on a connection, so that its time limit suffices for the last one. */
const MAX_REQUESTS = 1;
/** Time limit of a connection (handshake, request and response), as a multiple of the limit for the response. */
const CONNECTION_TIMEOUTS = 3;

export interface HttpListener {
  /** "host:port" with the actual port. */
  readonly address: string;
  /** Closes the server and all its connections. */
  close(): void;
}

export interface ListenOptions extends HttpTrust {
  /** "host:port"; port 0 picks a free one. */
  readonly listen: string;
  /** Purpose of the server, for the error message: "metrics". */
  readonly purpose: string;
  /** Command-line option that sets the address, for the error message: "--metrics". */
  readonly option: string;
  /** The maximum duration of a response. */
  readonly requestTimeoutMs: number;
}

export type HttpHandler = (request: IncomingMessage, response: ServerResponse, client: HttpClient) => void;

/**
 * Starts an HTTP server, for health checks and metrics. Clients that present a certificate use HTTPS on the same port.
 *
 * @throws BerthError BERTH_ADDRESS_IN_USE if another process uses the port, BERTH_INPUT_INVALID for an unusable address
 */
export async function listenHttp(onRequest: HttpHandler, options: ListenOptions): Promise<HttpListener> {
  const { listen, purpose, option, requestTimeoutMs, identity } = options;
  const handle = (request: IncomingMessage, response: ServerResponse): void =>
    onRequest(request, response, httpClientOf(request.socket, options));
  const http = createServer({}, handle);
  const https = identity && createHttpsServer(serverTlsOptions(identity.current), handle);
  for (const server of [http, https]) {
    if (server !== undefined) server.maxRequestsPerSocket = MAX_REQUESTS;
  }
  const endRenewals = identity?.subscribe(() => https?.setSecureContext(serverTlsOptions(identity.current)));

  const sockets = new Set<Socket>();
  const tcp = new TcpServer((socket) => {
    sockets.add(socket);
    const deadline = setTimeout(() => socket.destroy(), CONNECTION_TIMEOUTS * requestTimeoutMs);
    socket.once("close", () => {
      clearTimeout(deadline);
      sockets.delete(socket);
    });
    socket.on("error", () => socket.destroy());
    socket.once("data", (first: Buffer) => {
      socket.pause();
      socket.unshift(first);
      if (first[0] === TLS_HANDSHAKE) {
        if (https === undefined) {
          socket.destroy();
        } else {
          https.emit("connection", socket);
        }
      } else {
        http.emit("connection", socket);
        socket.resume();
      }
    });
  });
  tcp.maxConnections = MAX_CONNECTIONS;
  const colon = listen.lastIndexOf(":");
  const host = listen.slice(0, colon);
  tcp.listen(Number(listen.slice(colon + 1)), host.replace(/^\[|\]$/g, ""));
  try {
    await once(tcp, "listening");
  } catch (cause) {
    endRenewals?.();
    throw listenError({ address: listen, purpose, advice: `choose another address with ${option}`, cause });
  }
  return {
    address: `${host}:${(tcp.address() as AddressInfo).port}`,
    close: () => {
      endRenewals?.();
      tcp.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
