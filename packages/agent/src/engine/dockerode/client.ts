import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import Docker from "dockerode";
import { withDeadline } from "../../runtime/with-deadline.js";
import { EngineError } from "../engine-error.js";
import { toEngineError } from "./errors.js";

/** A daemon that is under load answers late; one that has not answered by then is as good as gone. */
const DEFAULT_TIMEOUT_MS = 30_000;

/** 304: already started, already stopped. dockerode takes it for an error unless it is listed here. */
const SUCCESS = { 200: true, 201: true, 204: true, 304: true } as const;

export interface EngineRequest {
  readonly method: "GET" | "POST" | "DELETE";
  /** Without version and query: "/containers/json". */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  readonly signal: AbortSignal;
  /** Until the whole answer is there; for a stream until its head is there. */
  readonly timeoutMs?: number;
}

/** The part of dockerode's transport that is used. Its own methods put request bodies into the URL, too. */
interface Dialer {
  version?: string;
  dial(
    request: {
      readonly path: string;
      readonly method: string;
      readonly options: { readonly _query: object; readonly _body: object };
      readonly statusCodes: Readonly<Record<number, boolean>>;
      readonly isStream: true;
      readonly hijack: boolean;
      readonly abortSignal: AbortSignal;
    },
    callback: (error: unknown, response: unknown) => void,
  ): void;
}

/**
 * Requests to one daemon, each with a deadline. Bodies are read here: dockerode's own reading waits for ever when the
 * daemon dies in the middle of one.
 */
export class EngineClient {
  readonly #socketPath: string;
  #dialer: Dialer;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    this.#dialer = newDialer(socketPath);
  }

  /** Every later request asks for this version of the API. */
  setVersion(version: string | undefined): void {
    this.#dialer = newDialer(this.#socketPath, version);
  }

  /** The parsed body of the answer; null when there is no JSON in it. */
  request(request: EngineRequest): Promise<unknown> {
    return this.#guard(request, async (signal) => readJson(await this.#dial(request, signal)));
  }

  /** The answer's body as it comes. It ends with an error when `signal` fires or the connection breaks. */
  stream(request: EngineRequest): Promise<IncomingMessage> {
    // The body is bound to the caller's signal alone: the deadline is for its head.
    return this.#guard(request, () => this.#dial(request, request.signal));
  }

  /** The connection itself, for what goes both ways. It is destroyed when `signal` fires. */
  async hijack(request: EngineRequest): Promise<Duplex> {
    const connection = await this.#guard(request, (signal) => this.#dial(request, signal, true));
    if (!(connection instanceof Duplex)) {
      connection.destroy();
      throw new EngineError("failed", `Docker did not hand over the connection of ${request.path}`);
    }
    const onAbort = (): void => void connection.destroy();
    // Whoever reads it hears of its errors, too.
    connection.on("error", () => {});
    connection.once("close", () => request.signal.removeEventListener("abort", onAbort));
    request.signal.addEventListener("abort", onAbort, { once: true });
    if (request.signal.aborted) onAbort();
    return connection;
  }

  async #guard<T>(request: EngineRequest, effect: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const timeoutMs = request.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const onTimeout = (): Error =>
      new EngineError(
        "unavailable",
        `Docker did not answer ${request.method} ${request.path} within ${timeoutMs / 1_000} s`,
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
      const { path, method, query = {}, body = {} } = request;
      this.#dialer.dial(
        {
          path: `${path}?`,
          method,
          options: { _query: query, _body: body },
          statusCodes: SUCCESS,
          isStream: true,
          hijack,
          abortSignal: signal,
        },
        (error, response) => (error ? reject(error) : resolve(response as IncomingMessage | Duplex)),
      );
    });
  }
}

/** Null when the answer holds no JSON, as those that only say that something was done. */
async function readJson(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const isJson = response.headers["content-type"]?.startsWith("application/json") && chunks.length > 0;
  return isJson ? JSON.parse(Buffer.concat(chunks).toString()) : null;
}

function newDialer(socketPath: string, version?: string): Dialer {
  // `host` and `protocol` are named so that DOCKER_HOST in the environment does not redirect the agent.
  const docker = new Docker({
    socketPath,
    host: undefined,
    protocol: "http",
    version: version === undefined ? undefined : `v${version}`,
  });
  return docker.modem;
}
