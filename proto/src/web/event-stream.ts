import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import { EncodedEvent } from "./encoded-event.js";
import { GzipStream } from "./gzip-stream.js";

export type HttpResponse = ServerResponse | Http2ServerResponse;

/** Interval of keep-alive comments. Proxies close connections without traffic after 30 s or more. */
const KEEP_ALIVE_MS = 10_000;

const OPEN = EncodedEvent.comment("open");
const KEEP_ALIVE = EncodedEvent.comment("keepalive");

export interface EventStreamOptions {
  /** Whether to compress the stream. The client must accept gzip. */
  readonly isCompressed: boolean;
}

/** A response of server-sent events. It waits for slow clients. */
export class EventStream {
  readonly #response: HttpResponse;
  readonly #gzip: GzipStream | undefined;
  readonly #keepAlive: NodeJS.Timeout;

  constructor(response: HttpResponse, { isCompressed }: EventStreamOptions) {
    this.#response = response;
    this.#gzip = isCompressed ? new GzipStream() : undefined;
    if (isCompressed) response.setHeader("content-encoding", "gzip");
    response.setHeader("vary", "accept-encoding");
    response.writeHead(200, { "content-type": "text/event-stream", "x-accel-buffering": "no" });
    if (this.#gzip !== undefined) write(response, this.#gzip.begin());
    // The client learns at once that the request was accepted.
    this.#write(OPEN);
    this.#keepAlive = setInterval(() => this.#write(KEEP_ALIVE), KEEP_ALIVE_MS);
    this.#keepAlive.unref();
  }

  /** Sends an event, and waits until the client has read enough of the earlier ones, or the signal aborts. */
  async send(event: EncodedEvent, signal: AbortSignal): Promise<void> {
    if (this.#write(event)) return;
    await once(this.#response, "drain", { signal }).catch(() => {
      // The caller looks at its signal.
    });
  }

  end(): void {
    clearInterval(this.#keepAlive);
    if (this.#gzip !== undefined) write(this.#response, this.#gzip.end());
    this.#response.end();
  }

  /** Returns whether the client has read enough. */
  #write(event: EncodedEvent): boolean {
    return write(this.#response, this.#gzip?.add(event) ?? event.bytes);
  }
}

/** Returns whether the client has read enough. A response that is closed needs no more waiting. */
function write(response: HttpResponse, bytes: Buffer): boolean {
  if (response.writableEnded || response.destroyed) return true;
  return (response as ServerResponse).write(bytes);
}
