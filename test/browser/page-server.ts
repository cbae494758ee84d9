import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { type WebSocket, WebSocketServer } from "ws";
import type { JsonObject } from "../../packages/web/src/core/json.js";
import { RESPONSE_HEADERS } from "../../proto/src/web/response-headers.js";
import type { Changes, SimulatedCluster } from "./simulated-cluster.js";

/** The directory of the built web UI. */
export const PAGE_DIRECTORY = fileURLToPath(new URL("../../packages/web/dist", import.meta.url));
const HEARTBEAT_MS = 2_000;
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** Answers a call. @returns the response, or an error with a code and a status */
export type CallHandler = (
  method: string,
  request: JsonObject,
) => JsonObject | { readonly status: number; readonly code: string; readonly message: string };

/** Serves the web UI with a simulated cluster, as docs/web-api.md describes. */
export class PageServer {
  readonly #server: Server;
  readonly #cluster: SimulatedCluster;
  readonly #viewers = new Set<ServerResponse>();
  readonly #handleCall: CallHandler;
  readonly calls: { readonly method: string; readonly request: JsonObject }[] = [];
  role = "USER_ROLE_ADMIN";
  isLoggedIn = true;
  /** Whether viewers are refused. */
  isDown = false;
  #epoch = 1;
  #sequence = 1;
  readonly #timer: ReturnType<typeof setInterval>;

  private constructor(cluster: SimulatedCluster, handleCall: CallHandler) {
    this.#cluster = cluster;
    this.#handleCall = handleCall;
    this.#server = createServer((request, response) => void this.#answer(request, response));
    const sockets = new WebSocketServer({ noServer: true });
    this.#server.on("upgrade", (request, socket, head) => sockets.handleUpgrade(request, socket, head, echo));
    this.#timer = setInterval(() => this.send({}), HEARTBEAT_MS);
  }

  static async start(cluster: SimulatedCluster, handleCall: CallHandler = () => ({})): Promise<PageServer> {
    const server = new PageServer(cluster, handleCall);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Sends a change to all viewers. */
  send(changes: Changes): void {
    this.#sequence += 1;
    for (const viewer of this.#viewers) this.#write(viewer, changes);
  }

  /** Sends the counters of connections. */
  sendTraffic(traffic: JsonObject): void {
    for (const viewer of this.#viewers) viewer.write(`data: ${JSON.stringify({ traffic })}\n\n`);
  }

  /** Continues with another leader: viewers get a snapshot. */
  changeLeader(): void {
    this.#epoch += 1;
    this.#sequence = 1;
    for (const viewer of this.#viewers) this.#writeSnapshot(viewer);
  }

  /** Ends all streams. */
  disconnect(): void {
    for (const viewer of this.#viewers) viewer.destroy();
    this.#viewers.clear();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.disconnect();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://localhost");
    for (const [name, value] of Object.entries(RESPONSE_HEADERS)) response.setHeader(name, value);
    if (!url.pathname.startsWith("/api/")) return this.#sendFile(url.pathname, response);
    const method = url.pathname.slice("/api/".length);
    if (this.isDown) return void response.destroy();
    if (method === "session" || method === "login") return this.#sendSession(response);
    if (!this.isLoggedIn) return sendError(response, 401, "BERTH_UNAUTHENTICATED", "there is no session");
    if (request.method === "GET") return this.#openStream(method, url, response);
    const body = JSON.parse((await readBody(request)) || "{}") as JsonObject;
    this.calls.push({ method, request: body });
    const result = this.#handleCall(method, body);
    if ("status" in result && "code" in result) {
      return sendError(response, Number(result.status), String(result.code), String(result.message));
    }
    sendJson(response, 200, result);
  }

  #sendSession(response: ServerResponse): void {
    if (!this.isLoggedIn) {
      sendError(response, 401, "BERTH_UNAUTHENTICATED", "there is no session");
      return;
    }
    sendJson(response, 200, {
      user: "alice",
      role: this.role,
      stacks: "",
      expiresAtMs: Date.now() + 3_600_000,
    });
  }

  #openStream(method: string, url: URL, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    if (method === "WatchCluster") {
      this.#viewers.add(response);
      response.on("close", () => this.#viewers.delete(response));
      this.#writeSnapshot(response);
      return;
    }
    const request = JSON.parse(url.searchParams.get("request") ?? "{}") as JsonObject;
    this.calls.push({ method, request });
    const result = this.#handleCall(method, request) as { readonly messages?: readonly JsonObject[] };
    for (const message of result.messages ?? []) response.write(`data: ${JSON.stringify(message)}\n\n`);
  }

  /** Sends a snapshot in parts, as the leader does. */
  #writeSnapshot(viewer: ServerResponse): void {
    const { tasks = [], events = [], ...others } = this.#cluster.records();
    for (const part of [{ ...others, isSnapshot: true }, { tasks }]) {
      viewer.write(`data: ${JSON.stringify({ update: { ...part, hasMore: true, nowMs: Date.now() } })}\n\n`);
    }
    this.#write(viewer, { events });
  }

  #write(viewer: ServerResponse, changes: Changes): void {
    const position = {
      epoch: this.#epoch,
      sequence: this.#sequence,
      revision: this.#sequence,
      eventSequence: 0,
    };
    const update = { position, nowMs: Date.now(), ...changes };
    viewer.write(`id: ${this.#epoch}.${this.#sequence}.0.0\ndata: ${JSON.stringify({ update })}\n\n`);
  }

  async #sendFile(path: string, response: ServerResponse): Promise<void> {
    const name = path === "/" ? "index.html" : normalize(path).replace(/^\/+/, "");
    const content = await readFile(join(PAGE_DIRECTORY, name)).catch(() => undefined);
    if (content === undefined) return void response.writeHead(404).end();
    response
      .writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream" })
      .end(content);
  }
}

/** Runs a command that prints its input, as the container of `Exec` would. */
function echo(socket: WebSocket): void {
  const send = (output: JsonObject): void => socket.send(JSON.stringify({ output }));
  socket.on("message", (data) => {
    const message = JSON.parse(String(data)) as {
      readonly start?: JsonObject;
      readonly input?: { readonly stdin?: string };
    };
    if (message.start !== undefined) send({ started: {} });
    const { stdin } = message.input ?? {};
    if (stdin !== undefined) send({ stdout: stdin });
    if (stdin === Buffer.from("\u0004").toString("base64")) {
      send({ exited: { exitCode: 3 } });
      socket.close();
    }
  });
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function sendJson(response: ServerResponse, status: number, body: JsonObject): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function sendError(response: ServerResponse, status: number, code: string, message: string): void {
  sendJson(response, status, { error: { code, message, details: {} } });
}
