import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { BerthError } from "../errors.js";

export interface HttpListener {
  /** "host:port" with the actual port. */
  readonly address: string;
  /** Closes the server and all its connections. */
  close(): void;
}

export interface ListenOptions {
  /** "host:port"; port 0 picks a free one. */
  readonly listen: string;
  /** Purpose of the server, for the error message: "metrics". */
  readonly purpose: string;
  /** Command-line option that sets the address, for the error message: "--metrics". */
  readonly option: string;
  readonly requestTimeoutMs: number;
}

/** Starts an HTTP server, for health checks and metrics. @throws BerthError BERTH_ADDRESS_IN_USE */
export async function listenHttp(
  onRequest: RequestListener,
  { listen, purpose, option, requestTimeoutMs }: ListenOptions,
): Promise<HttpListener> {
  const server = createServer({ requestTimeout: requestTimeoutMs }, onRequest);
  const colon = listen.lastIndexOf(":");
  const host = listen.slice(0, colon);
  server.listen(Number(listen.slice(colon + 1)), host.replace(/^\[|\]$/g, ""));
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new BerthError({
      code: "BERTH_ADDRESS_IN_USE",
      message: `cannot listen on ${listen} for ${purpose}: the port may be in use, or the address may not belong to this host; choose another address with ${option}`,
      cause,
      details: { address: listen },
    });
  }
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  return {
    address: `${host}:${port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
