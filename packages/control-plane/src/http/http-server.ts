import type { ServerResponse } from "node:http";
import { type HttpListener, listenHttp } from "@berth/proto/http";

const REQUEST_TIMEOUT_MS = 5_000;

export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface HttpServerOptions {
  /** "host:port"; port 0 picks a free port. */
  readonly listen: string;
  /** Handlers of GET and HEAD requests, by path. */
  readonly routes: Readonly<Record<string, () => Promise<HttpResponse>>>;
}

/** Starts the HTTP listener of a server (--http) for a fixed set of paths. @throws BerthError BERTH_ADDRESS_IN_USE */
export function startHttpServer({ listen, routes }: HttpServerOptions): Promise<HttpListener> {
  return listenHttp(
    (request, response) => {
      const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
      const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
      if (request.method !== "GET" && request.method !== "HEAD") {
        return send(response, textResponse(405, "method not allowed: use GET"));
      }
      if (route === undefined) {
        return send(response, textResponse(404, `not found: try ${Object.keys(routes).join(" or ")}`));
      }
      route().then(
        (answer) => send(response, answer),
        (error: unknown) =>
          send(response, textResponse(500, error instanceof Error ? error.message : String(error))),
      );
    },
    { listen, purpose: "HTTP", option: "--http", requestTimeoutMs: REQUEST_TIMEOUT_MS },
  );
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
