import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { BerthError } from "../errors.js";

export interface HttpListener {
  /** "host:port" with the port that is really in use. */
  readonly address: string;
  /** Cuts what is being answered. */
  close(): void;
}

export interface ListenOptions {
  /** "host:port"; port 0 picks a free one. */
  readonly listen: string;
  /** What for and by which option, for a person: "metrics", "--metrics". */
  readonly purpose: string;
  readonly option: string;
  readonly requestTimeoutMs: number;
}

/** Answers HTTP. @throws BerthError BERTH_ADDRESS_IN_USE */
export async function listenHttp(
  answer: RequestListener,
  { listen, purpose, option, requestTimeoutMs }: ListenOptions,
): Promise<HttpListener> {
  const server = createServer({ requestTimeout: requestTimeoutMs }, answer);
  const colon = listen.lastIndexOf(":");
  const host = listen.slice(0, colon);
  server.listen(Number(listen.slice(colon + 1)), host.replace(/^\[|\]$/g, ""));
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new BerthError({
      code: "BERTH_ADDRESS_IN_USE",
      message: `cannot listen on ${listen} for ${purpose}: another program may have the port, or the address is not this host's. Choose another with ${option}.`,
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
