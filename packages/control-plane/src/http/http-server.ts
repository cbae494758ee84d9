import type { ServerResponse } from "node:http";
import { type HttpListener, listenHttp } from "@berth/proto/http";

/** A route's answer. */
export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface HttpServerOptions {
  /** "host:port"; port 0 picks a free one. */
  readonly listen: string;
  /** By path. */
  readonly routes: Readonly<Record<string, () => Promise<HttpAnswer>>>;
}

const REQUEST_TIMEOUT_MS = 5_000;

/** Answers GET on a few paths. @throws BerthError BERTH_ADDRESS_IN_USE */
export function startHttpServer({ listen, routes }: HttpServerOptions): Promise<HttpListener> {
  return listenHttp(
    (request, response) => {
      const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
      const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
      if (request.method !== "GET" && request.method !== "HEAD") return send(response, text(405, "only GET"));
      if (route === undefined) return send(response, text(404, `try ${Object.keys(routes).join(" or ")}`));
      route().then(
        (answer) => send(response, answer),
        (error: unknown) => send(response, text(500, error instanceof Error ? error.message : String(error))),
      );
    },
    { listen, purpose: "HTTP", option: "--http", requestTimeoutMs: REQUEST_TIMEOUT_MS },
  );
}

export function json(status: number, value: unknown): HttpAnswer {
  return { status, contentType: "application/json", body: `${JSON.stringify(value)}\n` };
}

function text(status: number, body: string): HttpAnswer {
  return { status, contentType: "text/plain", body: `${body}\n` };
}

function send(response: ServerResponse, { status, contentType, body }: HttpAnswer): void {
  response.writeHead(status, { "content-type": contentType }).end(body);
}
