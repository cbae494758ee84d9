import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { WatchClusterRequest, WatchClusterResponse } from "../../gen/berth/v1/control.js";
import { OPENAPI_TEXT } from "../../gen/openapi.js";
import { BerthError } from "../errors.js";
import type { RpcClient } from "../rpc/types.js";
import { acceptsEncoding } from "./accepts-encoding.js";
import { API_METHODS, type ApiMethod, type Control } from "./api-methods.js";
import { BrowserSessions } from "./browser-sessions.js";
import { EncodedEvent } from "./encoded-event.js";
import { EventStream, type HttpResponse } from "./event-stream.js";
import { serveSocket } from "./exec-socket.js";
import { asBerthError, errorBody, httpStatusOf, invalidRequest } from "./http-errors.js";
import type { LoginGrant } from "./login-codes.js";
import { readOnlyCalls } from "./read-only-calls.js";
import { assertSameOrigin, type CheckOptions } from "./request-checks.js";
import { RequestSchemas } from "./request-schema.js";
import { RESPONSE_HEADERS } from "./response-headers.js";
import type { Session } from "./session-table.js";
import type { StaticFiles } from "./static-files.js";
import { parsePosition, streamWatch } from "./watch-stream.js";
import {
  headerOf,
  parseJson,
  readJson,
  sendJson,
  sendText,
  signalOf,
  type Target,
  targetOf,
  type WebRequest,
} from "./web-messages.js";

const API_PREFIX = "/api/";

/** Deadline of a call with one response. A deployment resolves images, which takes up to a minute. */
const CALL_TIMEOUT_MS = 120_000;

/** Maximum size of a WebSocket message. Terminals and files are sent in small parts. */
const MAX_SOCKET_MESSAGE_BYTES = 4 * 1024 * 1024;

/** A user, and the browser with which the user makes a call. */
export interface WebCaller {
  /** Name in the certificates of the user. */
  readonly userName: string;
  /** "address:port" of the browser. */
  readonly client: string;
}

/** The cluster, as the gateway uses it. */
export interface WebBackend {
  /**
   * Exchanges a login code.
   *
   * @throws BerthError BERTH_UNAUTHENTICATED
   */
  redeem(code: string, client: string, signal: AbortSignal): Promise<LoginGrant>;
  /** Returns the calls of a user. */
  callsOf(caller: WebCaller): RpcClient<Control>;
}

export interface WebGatewayOptions {
  readonly backend: WebBackend;
  readonly files: StaticFiles;
  readonly checks: CheckOptions;
  /** Name of the session's cookie. */
  readonly cookieName: string;
  readonly nowMs: () => number;
  /** Called with errors that are bugs. */
  readonly onInternalError?: (path: string, error: unknown) => void;
}

/** Serves the web UI and the HTTP API. Each request is checked, and made in the name of the user of its session. */
export class WebGateway {
  readonly #options: WebGatewayOptions;
  readonly #sessions: BrowserSessions;
  readonly #schemas = new RequestSchemas();
  readonly #sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_SOCKET_MESSAGE_BYTES });

  constructor(options: WebGatewayOptions) {
    this.#options = options;
    this.#sessions = new BrowserSessions({ ...options, isSecure: options.checks.scheme === "https" });
  }

  /** Ends all sessions and streams. */
  close(): void {
    this.#sessions.close();
    this.#sockets.close();
  }

  /** Responds to a request. */
  handle(request: WebRequest, response: HttpResponse): void {
    this.#respond(request, response).catch((error: unknown) => this.#fail(request, response, error));
  }

  /** Opens a WebSocket, or refuses to. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => socket.destroy());
    try {
      const { method, session } = this.#admitSocket(request);
      const release = this.#openStream(session);
      socket.once("close", release);
      this.#sockets.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
        const calls = this.#callsOf(request, session);
        const call = calls[method.key] as unknown as StreamCall;
        void serveSocket(webSocket, {
          method,
          schemas: this.#schemas,
          call: (requests, signal) => call(requests, { signal }),
          signal: session.ended,
        });
      });
    } catch (error) {
      const body = JSON.stringify(errorBody(error));
      const status = httpStatusOf(asBerthError(error).code);
      socket.end(
        `HTTP/1.1 ${status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      );
    }
  }

  #admitSocket(request: IncomingMessage): { readonly method: ApiMethod; readonly session: Session } {
    assertSameOrigin({ method: "GET", headers: request.headers, isWebSocket: true }, this.#options.checks);
    const session = this.#sessions.requireSession(request);
    const method = findMethod(targetOf(request).path);
    if (method.kind !== "socket") throw invalidRequest(`${method.name} does not use a WebSocket`);
    requirePermitted(method, session);
    return { method, session };
  }

  async #respond(request: WebRequest, response: HttpResponse): Promise<void> {
    for (const [name, value] of Object.entries(RESPONSE_HEADERS)) response.setHeader(name, value);
    const httpMethod = request.method ?? "";
    assertSameOrigin(
      { method: httpMethod, headers: request.headers, isWebSocket: false },
      this.#options.checks,
    );
    const target = targetOf(request);
    if (!target.path.startsWith(API_PREFIX)) return this.#sendFile(request, response, target);
    response.setHeader("cache-control", "no-store");
    switch (`${httpMethod} ${target.path}`) {
      case "GET /api/openapi.json":
        return sendText(response, 200, OPENAPI_TEXT);
      case "POST /api/login":
        return sendJson(response, 200, await this.#sessions.login(request, response, signalOf(response)));
      case "POST /api/logout":
        this.#sessions.logout(request, response);
        response.writeHead(204).end();
        return;
      case "GET /api/session":
        return sendJson(response, 200, await this.#sessions.describe(request, signalOf(response)));
      default:
        return this.#call(request, response, target);
    }
  }

  async #call(request: WebRequest, response: HttpResponse, { path, query }: Target): Promise<void> {
    const session = this.#sessions.requireSession(request);
    const method = findMethod(path);
    requirePermitted(method, session);
    const calls = this.#callsOf(request, session);
    const signal = signalOf(response, session);
    if (method.kind === "unary") {
      requireHttpMethod(request, "POST", method);
      const message = await this.#decode(method, await readJson(request, method.maxRequestBytes));
      const call = calls[method.key] as unknown as UnaryCall;
      const result = await this.#sessions.endSessionIfUserRemoved(
        session,
        call(message, { signal, timeoutMs: CALL_TIMEOUT_MS }),
      );
      return sendJson(response, 200, method.response.toJSON(result));
    }
    requireHttpMethod(request, "GET", method);
    if (method.kind === "socket") throw invalidRequest(`${method.name} uses a WebSocket`);
    const message = await this.#decode(method, parseJson(query.get("request") ?? "{}"));
    const release = this.#openStream(session);
    try {
      await this.#stream({
        request,
        response,
        method,
        message,
        call: calls[method.key] as unknown as StreamCall,
        signal,
      });
    } finally {
      release();
    }
  }

  async #stream({ request, response, method, message, call, signal }: StreamRequest): Promise<void> {
    const lastId = headerOf(request, "last-event-id");
    const after = method.key === "watchCluster" && lastId !== "" ? parsePosition(lastId) : undefined;
    // All browsers get the same updates of the cluster, so compressing them costs little. Other streams are not shared.
    const isCompressed =
      method.key === "watchCluster" && acceptsEncoding(headerOf(request, "accept-encoding"), "gzip");
    const stream = new EventStream(response, { isCompressed });
    try {
      if (method.key === "watchCluster") {
        const watch = message as WatchClusterRequest;
        await streamWatch({
          request: { ...watch, after: after ?? watch.after },
          watch: (next, abort) => call(next, { signal: abort }) as AsyncIterable<WatchClusterResponse>,
          stream,
          signal,
        });
      } else {
        for await (const next of call(message, { signal })) {
          const data = JSON.stringify(method.response.toJSON(next));
          await stream.send(EncodedEvent.of({ data }), signal);
        }
      }
      await stream.send(EncodedEvent.of({ name: "end", data: "{}" }), signal);
    } catch (error) {
      if (!signal.aborted) this.#report(method.name, error);
      const failure = { name: "failure", data: JSON.stringify(errorBody(error)) };
      await stream.send(EncodedEvent.of(failure), signal);
    } finally {
      stream.end();
    }
  }

  #callsOf(request: WebRequest, session: Session): RpcClient<Control> {
    const calls = this.#options.backend.callsOf(callerOf(request, session));
    return session.isReadOnly ? readOnlyCalls(calls) : calls;
  }

  /**
   * Checks and decodes a request.
   *
   * @throws BerthError BERTH_INPUT_INVALID
   */
  async #decode({ name, request }: ApiMethod, value: unknown): Promise<unknown> {
    await this.#schemas.requireMessage(`${name}Request`, value);
    return request.fromJSON(value);
  }

  #openStream(session: Session): () => void {
    const release = this.#sessions.openStream(session);
    if (release !== undefined) return release;
    throw new BerthError({
      code: "BERTH_LIMIT_EXCEEDED",
      message: "the session has too many open streams; close some tabs",
    });
  }

  #sendFile(request: WebRequest, response: HttpResponse, { path }: Target): void {
    if (request.method !== "GET" && request.method !== "HEAD") throw methodNotAllowed("GET");
    const { status, headers, body } = this.#options.files.respond({
      path,
      acceptEncoding: headerOf(request, "accept-encoding"),
      ifNoneMatch: headerOf(request, "if-none-match"),
    });
    response.writeHead(status, { ...headers });
    (response as { end(chunk?: Buffer): unknown }).end(request.method === "HEAD" ? undefined : body);
  }

  #fail(request: WebRequest, response: HttpResponse, error: unknown): void {
    const failure = asBerthError(error);
    this.#report(request.url ?? "", error);
    if (response.headersSent) {
      response.end();
    } else {
      sendJson(response, httpStatusOf(failure.code), errorBody(failure));
    }
  }

  #report(path: string, error: unknown): void {
    if (!(error instanceof BerthError)) this.#options.onInternalError?.(path, error);
  }
}

type UnaryCall = (
  message: unknown,
  options: { readonly signal: AbortSignal; readonly timeoutMs: number },
) => Promise<unknown>;
type StreamCall = (input: unknown, options: { readonly signal: AbortSignal }) => AsyncIterable<unknown>;

interface StreamRequest {
  readonly request: WebRequest;
  readonly response: HttpResponse;
  readonly method: ApiMethod;
  readonly message: unknown;
  readonly call: StreamCall;
  readonly signal: AbortSignal;
}

function findMethod(path: string): ApiMethod {
  const method = API_METHODS.get(path.slice(API_PREFIX.length));
  if (method !== undefined) return method;
  throw new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `no method at ${JSON.stringify(path.slice(0, 80))}; see /api/openapi.json`,
  });
}

function requirePermitted({ name, isForViewers }: ApiMethod, { isReadOnly }: Session): void {
  if (isForViewers || !isReadOnly) return;
  throw new BerthError({
    code: "BERTH_PERMISSION_DENIED",
    message: `this session may not call ${name}: it is read-only; log in without --read-only`,
  });
}

function requireHttpMethod(request: WebRequest, expected: "GET" | "POST", { name }: ApiMethod): void {
  if (request.method !== expected) throw invalidRequest(`${name} requires the HTTP method ${expected}`);
}

function methodNotAllowed(expected: string): BerthError {
  return invalidRequest(`the path requires the HTTP method ${expected}`);
}

function callerOf({ socket }: IncomingMessage | Http2ServerRequest, { userName }: Session): WebCaller {
  return { userName, client: `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}` };
}
