import { signal } from "@preact/signals";
import { isObject, type JsonObject } from "../core/json.js";
import { EventStreamParser, type StreamEvent } from "../core/stream/event-stream.js";
import { ApiError, decodeApiError } from "./api-error.js";

/** Timeout of a call, including its repetitions. Longer than the leader works on any call. */
const CALL_TIMEOUT_MS = 60_000;

/** Delays before a call without a response is repeated. */
const REPEAT_DELAYS_MS = [100, 400, 1_000] as const;

/** Grows when the server says that there is no session. */
export const unauthenticated = signal(0);

/**
 * Calls a method with one response.
 *
 * @throws ApiError
 */
export async function call(
  method: string,
  request: JsonObject,
  abortSignal?: AbortSignal,
): Promise<JsonObject> {
  const timeout = AbortSignal.timeout(CALL_TIMEOUT_MS);
  const response = await send(`api/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-berth-api": "1" },
    body: JSON.stringify(request),
    signal: abortSignal === undefined ? timeout : AbortSignal.any([timeout, abortSignal]),
  });
  if (response.status === 204) return {};
  const body: unknown = await response.json().catch(() => undefined);
  if (isObject(body)) return body;
  throw new ApiError(`the response to ${method} is not valid`, { code: "", status: response.status });
}

/**
 * Makes a call that changes nothing, and repeats it if it gets no response. Chromium aborts all requests whenever an
 * address of the computer changes, for example when Docker starts a container on it.
 *
 * @throws ApiError
 */
export async function query(
  method: string,
  request: JsonObject,
  abortSignal?: AbortSignal,
): Promise<JsonObject> {
  const timeout = AbortSignal.timeout(CALL_TIMEOUT_MS);
  const signal = abortSignal === undefined ? timeout : AbortSignal.any([timeout, abortSignal]);
  for (const delayMs of REPEAT_DELAYS_MS) {
    try {
      return await call(method, request, signal);
    } catch (error) {
      const hasResponse = !(error instanceof ApiError) || error.status > 0;
      if (hasResponse || signal.aborted) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, delayMs));
  }
  return call(method, request, signal);
}

export interface StreamOptions {
  /** The event after which to continue. */
  readonly lastEventId?: string;
  readonly signal: AbortSignal;
}

/**
 * Reads the events of a method with a stream of responses, until it ends.
 *
 * @throws ApiError
 */
export async function* readEvents(
  method: string,
  request: JsonObject,
  { lastEventId = "", signal: abortSignal }: StreamOptions,
): AsyncGenerator<StreamEvent> {
  const query = new URLSearchParams({ request: JSON.stringify(request) });
  const headers: Record<string, string> = { accept: "text/event-stream", "x-berth-api": "1" };
  if (lastEventId !== "") headers["last-event-id"] = lastEventId;
  const response = await send(`api/${method}?${query}`, { headers, signal: abortSignal });
  if (response.body === null) return;
  const parser = new EventStreamParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const event of parser.push(value)) yield event;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Reads the messages of a stream.
 *
 * @throws ApiError when the stream fails or is interrupted
 */
export async function* readMessages(
  method: string,
  request: JsonObject,
  abortSignal: AbortSignal,
): AsyncGenerator<JsonObject> {
  for await (const { name, data } of readEvents(method, request, { signal: abortSignal })) {
    if (name === "end") return;
    const message: unknown = JSON.parse(data);
    if (name === "failure") throw decodeApiError(0, message);
    if (name === "message" && isObject(message)) yield message;
  }
  throw new ApiError("the stream was interrupted", { code: "", status: 0 });
}

async function send(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      ...init,
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
    });
  } catch (error) {
    if (
      init.signal?.aborted &&
      init.signal.reason instanceof DOMException &&
      init.signal.reason.name === "AbortError"
    )
      throw error;
    throw new ApiError("the server does not answer", { code: "", status: 0 });
  }
  if (response.ok) return response;
  if (response.status === 401 && !path.endsWith("login")) unauthenticated.value += 1;
  throw decodeApiError(response.status, await response.json().catch(() => undefined));
}

/**
 * Returns the session of this browser.
 *
 * @throws ApiError with status 401 when there is none
 */
export async function fetchSession(): Promise<JsonObject> {
  const response = await send("api/session", { signal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
  const body: unknown = await response.json();
  return isObject(body) ? body : {};
}
