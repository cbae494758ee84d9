import { Agent, type IncomingMessage, request } from "node:http";
import { createInterface } from "node:readline";

const API_VERSION = "v1.41";
/** Timeout of a call. Sixteen concurrent container starts on a busy disk take several seconds each. */
const CALL_TIMEOUT_MS = 60_000;
const MAX_SOCKETS = 32;

export interface CallOptions {
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** A minimal client for Docker's HTTP API. Its own overhead would distort the measurements. */
export class DockerApi {
  readonly socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS });

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** @throws Error with the daemon's message if the status is 400 or above. */
  async call<T = unknown>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const payload = options.body === undefined ? undefined : JSON.stringify(options.body);
    const signal = anyOf(AbortSignal.timeout(CALL_TIMEOUT_MS), options.signal);
    const response = await this.#send({ method, path, payload, signal });
    const text = await readAll(response);
    if ((response.statusCode ?? 0) >= 400) {
      throw new Error(`${method} ${path} on ${this.socketPath}: ${response.statusCode} ${text.trim()}`);
    }
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.call<T>("GET", path, { signal });
  }

  /** Returns the parsed lines of a streaming response. Resolves once the response begins. */
  async stream<T>(path: string, signal: AbortSignal): Promise<AsyncIterable<T>> {
    const response = await this.#send({ method: "GET", path, payload: undefined, signal });
    return parseLines<T>(response);
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(options: {
    readonly method: string;
    readonly path: string;
    readonly payload: string | undefined;
    readonly signal: AbortSignal;
  }): Promise<IncomingMessage> {
    const { method, path, payload, signal } = options;
    const headers = payload === undefined ? {} : { "content-type": "application/json" };
    return new Promise((resolve, reject) => {
      request(
        {
          socketPath: this.socketPath,
          agent: this.#agent,
          path: `/${API_VERSION}${path}`,
          method,
          headers,
          signal,
        },
        resolve,
      )
        .on("error", reject)
        .end(payload);
    });
  }
}

/** Returns the `filters=…` parameter of Docker's list requests. */
export function filters(by: Readonly<Record<string, readonly string[]>>): string {
  return `filters=${encodeURIComponent(JSON.stringify(by))}`;
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

async function* parseLines<T>(response: IncomingMessage): AsyncGenerator<T> {
  for await (const line of createInterface({ input: response })) {
    if (line.trim() !== "") yield JSON.parse(line) as T;
  }
}

function anyOf(timeout: AbortSignal, signal: AbortSignal | undefined): AbortSignal {
  return signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
}
