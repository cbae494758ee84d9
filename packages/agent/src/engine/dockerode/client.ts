import "./exclude-debug-log.js";
import { Agent, type IncomingMessage } from "node:http";
import { Duplex, type Readable } from "node:stream";
import { inspect } from "node:util";
import Docker from "dockerode";
import { withDeadline } from "../../runtime/with-deadline.js";
import { EngineError } from "../engine-error.js";
import { toEngineError } from "./errors.js";

/** Timeout after which the daemon counts as unavailable. A busy daemon responds late. */
const DEFAULT_TIMEOUT_MS = 30_000;

/** 304 means already started or already stopped. dockerode treats it as an error unless it is listed here. */
const SUCCESS_CODES = { 200: true, 201: true, 204: true, 304: true } as const;

export interface EngineRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  /** The path without version and query, such as "/containers/json". */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** A tar archive, which is sent instead of `body`. */
  readonly archive?: Readable;
  /** Sent in the header X-Registry-Auth. */
  readonly registryAuth?: object | undefined;
  readonly signal: AbortSignal;
  /** Time until the whole response has arrived; for a stream, until its headers have. */
  readonly timeoutMs?: number;
}

/**
 * The part of dockerode's transport that berth uses. dockerode's higher-level methods also put request bodies into the
 * URL.
 */
interface Dialer {
  version?: string;
  dial(
    request: {
      readonly path: string;
      readonly method: string;
      readonly options: { readonly _query: object; readonly _body: object };
      /** Encoded in the header X-Registry-Auth. */
      readonly authconfig: object | undefined;
      /** The body of the request, instead of the options. */
      readonly file: Readable | undefined;
      readonly statusCodes: Readonly<Record<number, boolean>>;
      readonly isStream: true;
      readonly hijack: boolean;
      readonly abortSignal: AbortSignal;
    },
    callback: (error: unknown, response: unknown) => void,
  ): void;
}

/**
 * Sends requests to one daemon, each with a deadline. Reads response bodies itself: dockerode would wait forever if the
 * daemon died in the middle of one.
 */
export class EngineClient {
  readonly #socketPath: string;
  #dialer: Dialer;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    this.#dialer = newDialer(socketPath);
  }

  /** Sets the API version of later requests. */
  setVersion(version: string | undefined): void {
    this.#dialer = newDialer(this.#socketPath, version);
  }

  /** Returns the parsed body of the response, or null if it has no JSON. */
  request(request: EngineRequest): Promise<unknown> {
    return this.#withDeadline(request, async (signal) => readJson(await this.#dial(request, signal)));
  }

  /** Returns the response body as a stream. It ends with an error when `signal` is aborted or the connection breaks. */
  stream(request: EngineRequest): Promise<IncomingMessage> {
    // The deadline applies to the headers. The body ends with the caller's signal.
    return this.#withDeadline(request, () => this.#dial(request, request.signal));
  }

  /** Returns the connection itself, for two-way traffic. It is destroyed when `signal` is aborted. */
  async hijack(request: EngineRequest): Promise<Duplex> {
    const connection = await this.#withDeadline(request, (signal) => this.#dial(request, signal, true));
    if (!(connection instanceof Duplex)) {
      connection.destroy();
      throw new EngineError("failed", `Docker did not upgrade the connection for ${request.path}`);
    }
    const onAbort = (): void => void connection.destroy();
    // Errors reach the reader of the stream. This listener only prevents an uncaught exception.
    connection.on("error", () => {});
    connection.once("close", () => request.signal.removeEventListener("abort", onAbort));
    request.signal.addEventListener("abort", onAbort, { once: true });
    if (request.signal.aborted) onAbort();
    return connection;
  }

  /** Runs the effect with the request's deadline, and converts its errors. */
  async #withDeadline<T>(request: EngineRequest, effect: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const timeoutMs = request.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const onTimeout = (): Error =>
      new EngineError(
        "unavailable",
        `Docker did not respond to ${request.method} ${request.path} within ${timeoutMs / 1_000} s`,
      );
    try {
      return await withDeadline({ timeoutMs, signal: request.signal, onTimeout }, effect);
    } catch (error) {
      request.signal.throwIfAborted();
      throw toEngineError(error, this.#socketPath);
    }
  }

  #dial(request: EngineRequest, signal: AbortSignal): Promise<IncomingMessage>;
  #dial(request: EngineRequest, signal: AbortSignal, hijack: true): Promise<IncomingMessage | Duplex>;
  #dial(request: EngineRequest, signal: AbortSignal, hijack = false): Promise<IncomingMessage | Duplex> {
    return new Promise((resolve, reject) => {
      const { path, method, query = {}, body = {}, registryAuth, archive } = request;
      this.#dialer.dial(
        {
          path: `${path}?`,
          method,
          options: { _query: query, _body: body },
          authconfig: registryAuth,
          file: archive,
          statusCodes: SUCCESS_CODES,
          isStream: true,
          hijack,
          abortSignal: signal,
        },
        // Docker responds to a hijacked request with the connection, and to a failed one with a message.
        (error, response) => (error ? reject(error) : resolve(response as IncomingMessage | Duplex)),
      );
    });
  }
}

/** Returns null for a response without JSON, such as 204. */
async function readJson(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const isJson = response.headers["content-type"]?.startsWith("application/json") && chunks.length > 0;
  return isJson ? JSON.parse(Buffer.concat(chunks).toString()) : null;
}

function newDialer(socketPath: string, version?: string): Dialer {
  // dockerode passes `agent` on to Node, but its types do not have it.
  const options = {
    socketPath,
    // Set, together with `protocol`, so that DOCKER_HOST in the environment does not redirect the agent.
    host: undefined,
    protocol: "http" as const,
    version: version === undefined ? undefined : `v${version}`,
    // A daemon that shuts down stops listening but still serves open connections. A container that it starts then
    // leaves a mount behind and can never be removed: https://github.com/moby/moby/pull/34253
    agent: new ShortLivedConnections({ keepAlive: false }),
  };
  return new Docker(options).modem;
}

/**
 * Connections that serve one request each. docker-modem formats the options of every request, this object among them,
 * for a debug log that is off: https://github.com/apocas/docker-modem/blob/v5.0.6/lib/modem.js#L278. For a plain
 * `Agent`, with its hidden properties, that takes longer than the request.
 */
class ShortLivedConnections extends Agent {
  [inspect.custom](): string {
    return "Agent";
  }
}
