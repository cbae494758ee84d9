import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import { BerthError } from "../errors.js";
import type { HttpResponse } from "./event-stream.js";
import { invalidRequest } from "./http-errors.js";
import type { Session } from "./session-table.js";

export type WebRequest = IncomingMessage | Http2ServerRequest;

/**
 * Reads the body of a request as JSON. An empty body is an empty object.
 *
 * @throws BerthError BERTH_INPUT_INVALID, BERTH_LIMIT_EXCEEDED
 */
export async function readJson(request: WebRequest, maxBytes: number): Promise<unknown> {
  const type = request.headers["content-type"] ?? "application/json";
  if (!/^application\/json\s*(?:;|$)/i.test(type)) {
    throw invalidRequest("the body has another type than application/json");
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    const part = Buffer.from(chunk);
    bytes += part.length;
    if (bytes > maxBytes) {
      throw new BerthError({
        code: "BERTH_LIMIT_EXCEEDED",
        message: `the request has more than ${maxBytes} bytes; send less at a time`,
      });
    }
    chunks.push(part);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  return text === "" ? {} : parseJson(text);
}

/** @throws BerthError BERTH_INPUT_INVALID */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalidRequest(
      `the request is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

/** Destination of a request. */
export interface Target {
  readonly path: string;
  readonly query: URLSearchParams;
}

/** @throws BerthError BERTH_INPUT_INVALID */
export function targetOf({ url = "/" }: IncomingMessage | Http2ServerRequest): Target {
  const base = "http://server";
  if (!url.startsWith("/") || !URL.canParse(url, base)) {
    throw invalidRequest("the path of the request is invalid");
  }
  const { pathname, searchParams } = new URL(url, base);
  return { path: pathname, query: searchParams };
}

/** Returns a header of a request; "" when it is missing. */
export function headerOf({ headers }: Pick<WebRequest, "headers">, name: string): string {
  const value = headers[name];
  return typeof value === "string" ? value : "";
}

/** Returns a signal that aborts when the client has left, or the session ends. */
export function signalOf(response: HttpResponse, session?: Session): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  session?.ended.addEventListener("abort", abort, { once: true });
  response.once("close", () => {
    session?.ended.removeEventListener("abort", abort);
    abort();
  });
  return controller.signal;
}

export function sendJson(response: HttpResponse, status: number, value: unknown): void {
  sendText(response, status, JSON.stringify(value));
}

/** Sends a text that is JSON. */
export function sendText(response: HttpResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(text);
}
