import { once } from "node:events";
import { createServer } from "node:http";
import { BerthError } from "@berth/proto";

const REQUEST_TIMEOUT_MS = 5_000;
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export interface MetricsServer {
  /** "host:port" with the port that is really in use. */
  readonly address: string;
  close(): void;
}

/**
 * Answers GET /metrics with what `collect` says at that moment.
 * @param listen "host:port"; port 0 picks a free one
 * @throws BerthError BERTH_ADDRESS_IN_USE
 */
export async function serveMetrics(
  listen: string,
  collect: (signal: AbortSignal) => Promise<string>,
): Promise<MetricsServer> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    if (request.method !== "GET" || request.url?.split("?", 1)[0] !== "/metrics") {
      response.writeHead(404).end("try GET /metrics\n");
      return;
    }
    collect(AbortSignal.timeout(REQUEST_TIMEOUT_MS)).then(
      (text) => response.writeHead(200, { "content-type": CONTENT_TYPE }).end(text),
      (error: unknown) => response.writeHead(503).end(`${error instanceof Error ? error.message : error}\n`),
    );
  });
  const colon = listen.lastIndexOf(":");
  const host = listen.slice(0, colon);
  server.listen(Number(listen.slice(colon + 1)), host.replace(/^\[|\]$/g, ""));
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new BerthError({
      code: "BERTH_ADDRESS_IN_USE",
      message: `cannot listen on ${listen} for metrics: another program may have the port, or the address is not this host's. Choose another with --metrics.`,
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
