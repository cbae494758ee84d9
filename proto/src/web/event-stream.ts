import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";

export type HttpResponse = ServerResponse | Http2ServerResponse;

/** Interval of keep-alive comments. Proxies close connections without traffic after 30 s or more. */
const KEEP_ALIVE_MS = 10_000;

/** One server-sent event. */
export interface StreamEvent {
  /** @default "message" */
  readonly name?: string;
  /** The client sends the last one as `Last-Event-ID` when it reconnects. */
  readonly id?: string | undefined;
  /** JSON. */
  readonly data: string;
}

/** A response of server-sent events. It waits for slow clients. */
export class EventStream {
  readonly #response: HttpResponse;
  readonly #keepAlive: NodeJS.Timeout;

  constructor(response: HttpResponse) {
    this.#response = response;
    response.writeHead(200, { "content-type": "text/event-stream", "x-accel-buffering": "no" });
    // The client learns at once that the request was accepted.
    write(response, ": open\n\n");
    this.#keepAlive = setInterval(() => write(response, ": keepalive\n\n"), KEEP_ALIVE_MS);
    this.#keepAlive.unref();
  }

  /** Sends an event, and waits until the client has read enough of the earlier ones, or the signal aborts. */
  async send({ name, id, data }: StreamEvent, signal: AbortSignal): Promise<void> {
    const fields = [
      ...(name === undefined ? [] : [`event: ${name}`]),
      ...(id === undefined ? [] : [`id: ${id}`]),
    ];
    // JSON has no line breaks.
    if (write(this.#response, `${[...fields, `data: ${data}`].join("\n")}\n\n`)) return;
    await once(this.#response, "drain", { signal }).catch(() => {
      // The caller looks at its signal.
    });
  }

  end(): void {
    clearInterval(this.#keepAlive);
    this.#response.end();
  }
}

/** Returns whether the client has read enough. A response that is closed needs no more waiting. */
function write(response: HttpResponse, text: string): boolean {
  if (response.writableEnded || response.destroyed) return true;
  return (response as ServerResponse).write(text);
}
