import { type HttpListener, listenHttp } from "@berth/proto/http";
import type { RpcIdentity } from "@berth/proto/rpc";

/** Timeout of a request, including the collection of the metrics. */
const REQUEST_TIMEOUT_MS = 5_000;
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Serves GET /metrics with the text that `collect` returns, to clients on this host, and over HTTPS to users with a
 * certificate of the cluster.
 *
 * @param listen "host:port"; port 0 selects a free port
 * @param identity the identity of this host, for HTTPS
 * @throws BerthError BERTH_ADDRESS_IN_USE
 */
export function serveMetrics(
  listen: string,
  collect: (signal: AbortSignal) => Promise<string>,
  identity?: RpcIdentity,
): Promise<HttpListener> {
  return listenHttp(
    (request, response, client) => {
      if (request.method !== "GET" || request.url?.split("?", 1)[0] !== "/metrics") {
        response.writeHead(404).end("not found; use GET /metrics\n");
        return;
      }
      if (client.kind === "unauthenticated") {
        const restriction =
          "metrics are available to clients on this host, and to users with a certificate of this cluster";
        response.writeHead(403).end(`${restriction}: ${client.reason}\n`);
        return;
      }
      collect(AbortSignal.timeout(REQUEST_TIMEOUT_MS)).then(
        (text) => response.writeHead(200, { "content-type": CONTENT_TYPE }).end(text),
        (error: unknown) =>
          response.writeHead(503).end(`${error instanceof Error ? error.message : error}\n`),
      );
    },
    { listen, purpose: "metrics", option: "--metrics", requestTimeoutMs: REQUEST_TIMEOUT_MS, identity },
  );
}
