import { on } from "node:events";
import type { WebSocket } from "ws";
import type { ApiMethod } from "./api-methods.js";
import { errorBody, invalidRequest } from "./http-errors.js";
import type { RequestSchemas } from "./request-schema.js";
import { parseJson } from "./web-messages.js";

/** Maximum number of requests that wait to be sent to the server. The socket pauses when there are more. */
const MAX_WAITING = 64;

/**
 * Interval of pings. Proxies close connections without traffic after 30 s or more, and a client that does not respond
 * is gone.
 */
const PING_INTERVAL_MS = 20_000;

/** WebSocket close code of a call that is complete. */
const CLOSE_NORMAL = 1_000;

/** WebSocket close code of a call that failed. */
const CLOSE_FAILED = 4_000;

export interface SocketCall {
  readonly method: ApiMethod;
  readonly schemas: RequestSchemas;
  /** Makes the call. */
  readonly call: (requests: AsyncIterable<unknown>, signal: AbortSignal) => AsyncIterable<unknown>;
  /** Aborts when the session ends. */
  readonly signal: AbortSignal;
}

/** Makes a call with streams in both directions over a WebSocket, until one side ends it. */
export async function serveSocket(
  socket: WebSocket,
  { method, schemas, call, signal }: SocketCall,
): Promise<void> {
  const controller = new AbortController();
  const end = (): void => controller.abort();
  socket.once("close", end);
  socket.on("error", end);
  signal.addEventListener("abort", end, { once: true });
  const stopPings = ping(socket);
  // The call may read its first request later. Messages without a listener would be lost.
  const messages = on(socket, "message", {
    signal: controller.signal,
    close: ["close"],
    highWaterMark: MAX_WAITING,
    lowWaterMark: 1,
  });
  try {
    const requests = readRequests(messages, { method, schemas, signal: controller.signal });
    for await (const response of call(requests, controller.signal)) {
      await send(socket, JSON.stringify(method.response.toJSON(response)));
    }
    socket.close(CLOSE_NORMAL);
  } catch (error) {
    if (socket.readyState === socket.OPEN) await send(socket, JSON.stringify(errorBody(error)));
    socket.close(CLOSE_FAILED);
  } finally {
    stopPings();
    signal.removeEventListener("abort", end);
    end();
  }
}

async function* readRequests(
  messages: AsyncIterable<unknown[]>,
  { method, schemas, signal }: Pick<SocketCall, "method" | "schemas" | "signal">,
): AsyncGenerator<unknown> {
  try {
    for await (const [data, isBinary] of messages) {
      if (isBinary) throw invalidRequest("a message of the WebSocket is binary; send JSON as text");
      const value = parseJson(String(data));
      await schemas.requireMessage(`${method.name}Request`, value);
      yield method.request.fromJSON(value);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Sends a message, and waits until the system has accepted it. */
function send(socket: WebSocket, text: string): Promise<void> {
  return new Promise((resolve) => {
    // A failed socket emits "close".
    socket.send(text, () => resolve());
  });
}

/** Ends a socket whose client does not answer. Returns a function that ends the pings. */
function ping(socket: WebSocket): () => void {
  let isAlive = true;
  socket.on("pong", () => {
    isAlive = true;
  });
  const timer = setInterval(() => {
    if (!isAlive) socket.terminate();
    isAlive = false;
    socket.ping();
  }, PING_INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
