import { type HttpListener, listenHttp } from "@berth/proto/http";

const REQUEST_TIMEOUT_MS = 5_000;
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Answers GET /metrics with what `collect` says at that moment.
 * @param listen "host:port"; port 0 picks a free one
 * @throws BerthError BERTH_ADDRESS_IN_USE
 */
export function serveMetrics(
  listen: string,
  collect: (signal: AbortSignal) => Promise<string>,
): Promise<HttpListener> {
  return listenHttp(
    (request, response) => {
      if (request.method !== "GET" || request.url?.split("?", 1)[0] !== "/metrics") {
        response.writeHead(404).end("try GET /metrics\n");
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
