import { once } from "node:events";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { WebSocket } from "ws";

/** The response to a request, with its body parsed as JSON if it is JSON. */
export interface WebResponse {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

/** An event of a stream of server-sent events. */
export interface ReceivedEvent {
  readonly name: string;
  readonly id: string;
  readonly data: unknown;
}

export interface WebRequestOptions {
  readonly method?: "GET" | "POST" | "HEAD";
  /** JSON for POST. */
  readonly body?: unknown;
  /** Replaces headers; undefined removes one. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

/** A browser: it sends the headers that browsers send, and keeps one cookie. */
export class WebClient {
  readonly #url: URL;
  cookie = "";

  constructor(url: string) {
    this.#url = new URL(url);
  }

  /**
   * Logs in with a code.
   *
   * @throws Error when the server refuses the code
   */
  async login(code: string): Promise<WebResponse> {
    const response = await this.request("/api/login", { method: "POST", body: { code } });
    if (response.status !== 200) throw new Error(`login failed: ${JSON.stringify(response.body)}`);
    this.cookie = response.headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
    return response;
  }

  call(name: string, body: unknown = {}): Promise<WebResponse> {
    return this.request(`/api/${name}`, { method: "POST", body });
  }

  async request(path: string, options: WebRequestOptions = {}): Promise<WebResponse> {
    const response = await this.#send(path, options);
    let text = "";
    for await (const chunk of response) text += chunk;
    const isJson = response.headers["content-type"] === "application/json";
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: isJson ? JSON.parse(text) : text,
    };
  }

  /** Yields the events of a stream until it ends, or the signal aborts. */
  async *events(
    path: string,
    { signal, ...options }: WebRequestOptions & { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<ReceivedEvent> {
    const response = await this.#send(path, options);
    if (response.statusCode !== 200) throw new Error(`the stream was refused: ${response.statusCode}`);
    signal?.addEventListener("abort", () => response.destroy(), { once: true });
    let rest = "";
    try {
      for await (const chunk of response) {
        const blocks = (rest + chunk).split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) {
          const event = parseEvent(block);
          if (event !== undefined) yield event;
        }
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error;
    }
  }

  /** Yields the compressed sizes of the parts in which a stream arrives, until it ends or the signal aborts. */
  async *streamSizes(path: string, signal: AbortSignal): AsyncGenerator<number> {
    const response = await this.#send(path, { headers: { "accept-encoding": "gzip" } });
    if (response.statusCode !== 200) throw new Error(`the stream was refused: ${response.statusCode}`);
    signal.addEventListener("abort", () => response.destroy(), { once: true });
    try {
      for await (const chunk of response) yield Buffer.byteLength(chunk);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Opens a WebSocket, sends one message, and returns the first message that the server sends. */
  async firstMessage(path: string, message: unknown): Promise<unknown> {
    const socket = this.socket(path);
    await once(socket, "open");
    socket.send(JSON.stringify(message));
    const [data] = await once(socket, "message");
    socket.terminate();
    return JSON.parse(String(data));
  }

  socket(path: string, headers: Readonly<Record<string, string>> = {}): WebSocket {
    const url = new URL(path, this.#url);
    url.protocol = url.protocol.replace("http", "ws");
    return new WebSocket(url, {
      rejectUnauthorized: false,
      headers: { origin: this.#url.origin, cookie: this.cookie, ...headers },
    });
  }

  async #send(
    path: string,
    { method = "GET", body, headers = {} }: WebRequestOptions,
  ): Promise<IncomingMessage> {
    const send = this.#url.protocol === "https:" ? requestHttps : requestHttp;
    const allHeaders = {
      origin: method === "POST" ? this.#url.origin : undefined,
      "sec-fetch-site": "same-origin",
      "x-berth-api": method === "POST" ? "1" : undefined,
      "content-type": body === undefined ? undefined : "application/json",
      cookie: this.cookie === "" ? undefined : this.cookie,
      ...headers,
    };
    const definedHeaders = Object.fromEntries(
      Object.entries(allHeaders).filter(([, value]) => value !== undefined),
    );
    const call = send(new URL(path, this.#url), {
      method,
      headers: definedHeaders,
      rejectUnauthorized: false,
      agent: false,
    });
    call.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = await once(call, "response");
    return response;
  }
}

/** Parses an event. Returns undefined for a comment. */
function parseEvent(block: string): ReceivedEvent | undefined {
  const fields = new Map(
    block.split("\n").flatMap((line) => {
      const colon = line.indexOf(": ");
      return colon <= 0 ? [] : [[line.slice(0, colon), line.slice(colon + 2)] as const];
    }),
  );
  const data = fields.get("data");
  if (data === undefined) return undefined;
  return { name: fields.get("event") ?? "message", id: fields.get("id") ?? "", data: JSON.parse(data) };
}
