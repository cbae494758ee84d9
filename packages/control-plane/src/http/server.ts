import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { BerthError } from "@berth/proto";

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

export interface HttpServer {
  /** "host:port" with the port that is really in use. */
  readonly address: string;
  close(): void;
}

const REQUEST_TIMEOUT_MS = 5_000;

/** Answers GET on a few paths. @throws BerthError BERTH_ADDRESS_IN_USE */
export async function startHttpServer({ listen, routes }: HttpServerOptions): Promise<HttpServer> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (request.method !== "GET" && request.method !== "HEAD") return send(response, text(405, "only GET"));
    if (route === undefined) return send(response, text(404, `try ${Object.keys(routes).join(" or ")}`));
    route().then(
      (answer) => send(response, answer),
      (error: unknown) => send(response, text(500, error instanceof Error ? error.message : String(error))),
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
      message: `cannot listen on ${listen} for HTTP: another program may have the port, or the address is not this host's. Choose another with --http.`,
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

export function json(status: number, value: unknown): HttpAnswer {
  return { status, contentType: "application/json", body: `${JSON.stringify(value)}\n` };
}

function text(status: number, body: string): HttpAnswer {
  return { status, contentType: "text/plain", body: `${body}\n` };
}

function send(response: ServerResponse, { status, contentType, body }: HttpAnswer): void {
  response.writeHead(status, { "content-type": contentType }).end(body);
}
