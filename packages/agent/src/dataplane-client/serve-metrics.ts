import { type HttpListener, listenHttp } from "@berth/proto/http";

const REQUEST_TIMEOUT_MS = 5_000;
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Serves GET /metrics with the text that `collect` returns.
 * @param listen "host:port"; port 0 selects a free port
 * @throws BerthError BERTH_ADDRESS_IN_USE
 */
export function serveMetrics(
  listen: string,
  collect: (signal: AbortSignal) => Promise<string>,
): Promise<HttpListener> {
  return listenHttp(
    (request, response) => {
      if (request.method !== "GET" || request.url?.split("?", 1)[0] !== "/metrics") {
        response.writeHead(404).end("not found: use GET /metrics\n");
        return;
      }
      collect(AbortSignal.timeout(REQUEST_TIMEOUT_MS)).then(
        (text) => response.writeHead(200, { "content-type": CONTENT_TYPE }).end(text),
        (error: unknown) =>
          response.writeHead(503).end(`${error instanceof Error ? error.message : error}\n`),
      );
    },
    { listen, purpose: "metrics", option: "--metrics", requestTimeoutMs: REQUEST_TIMEOUT_MS },
  );
}
