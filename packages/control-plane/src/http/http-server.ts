import type { ServerResponse } from "node:http";
import { type HttpListener, listenHttp } from "@berth/proto/http";
import type { Revocations, RpcIdentity } from "@berth/proto/rpc";

/** Time limit for a request. */
const REQUEST_TIMEOUT_MS = 5_000;

export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface HttpRoute {
  /** Whether clients on other hosts need no certificate of the cluster. */
  readonly isPublic: boolean;
  readonly answer: () => Promise<HttpResponse>;
}

export interface HttpServerOptions {
  /** "host:port"; port 0 picks a free port. */
  readonly listen: string;
  /** Handlers of GET and HEAD requests, by path. */
  readonly routes: Readonly<Record<string, HttpRoute>>;
  /** Identity of the server, for clients that use HTTPS. */
  readonly identity?: RpcIdentity;
  readonly revocations?: Revocations | undefined;
}

/**
 * Starts the HTTP listener of a server (--http) for a fixed set of paths.
 *
 * @throws BerthError BERTH_ADDRESS_IN_USE
 */
export function startHttpServer({ routes, ...options }: HttpServerOptions): Promise<HttpListener> {
  return listenHttp(
    (request, response, client) => {
      const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
      const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
      if (request.method !== "GET" && request.method !== "HEAD") {
        return send(response, textResponse(405, "method not allowed; use GET"));
      }
      if (route === undefined) {
        return send(response, textResponse(404, `not found; try ${Object.keys(routes).join(" or ")}`));
      }
      if (!route.isPublic && client.kind === "unauthenticated") {
        return send(response, textResponse(403, forbiddenText(path, client.reason)));
      }
      route.answer().then(
        (answer) => send(response, answer),
        (error: unknown) =>
          send(response, textResponse(500, error instanceof Error ? error.message : String(error))),
      );
    },
    { ...options, purpose: "HTTP", option: "--http", requestTimeoutMs: REQUEST_TIMEOUT_MS },
  );
}

function forbiddenText(path: string, reason: string): string {
  return `${path} is for clients on this host, and for users with a certificate of this cluster: ${reason}`;
}

/** Returns a response with `value` as JSON. */
export function jsonResponse(status: number, value: unknown): HttpResponse {
  return { status, contentType: "application/json", body: `${JSON.stringify(value)}\n` };
}

function textResponse(status: number, body: string): HttpResponse {
  return { status, contentType: "text/plain", body: `${body}\n` };
}

function send(response: ServerResponse, { status, contentType, body }: HttpResponse): void {
  response.writeHead(status, { "content-type": contentType }).end(body);
}
