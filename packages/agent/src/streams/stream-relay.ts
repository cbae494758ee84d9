import type { DispatcherServiceService } from "@berth/proto";
import type { RpcClient } from "@berth/proto/rpc";
import type { Logger } from "pino";

type Calls = RpcClient<DispatcherServiceService>;

/** A request from the leader to open a stream. */
interface StreamRequest {
  readonly requestId: string;
}

/**
 * Opens a stream to the leader for each request that arrives in the session, such as for a task's log. Each stream is a
 * separate call to the leader. It ends when its source ends, when the leader sends a stop or closes the call.
 */
export abstract class StreamRelay<Request extends StreamRequest, Call extends keyof Calls> {
  readonly #log: Logger;
  readonly #maxStreams: number;
  /** One controller for each open stream, by request ID. */
  readonly #running = new Map<string, AbortController>();

  constructor(log: Logger, maxStreams: number) {
    this.#log = log;
    this.#maxStreams = maxStreams;
  }

  /** Starts a stream, or refuses it when too many are running. */
  start(calls: Pick<Calls, Call>, request: Request): void {
    const { requestId } = request;
    const controller = new AbortController();
    const { signal } = controller;
    const isFull = this.#running.size >= this.#maxStreams;
    this.#running.set(requestId, controller);
    const done = isFull ? this.refuse(calls, request, this.#maxStreams) : this.relay(calls, request, signal);
    done
      .catch((error: unknown) => {
        if (!signal.aborted) this.#log.debug({ err: error, requestId }, "stream to leader failed");
      })
      .finally(() => {
        controller.abort();
        this.#running.delete(requestId);
      });
  }

  /** Ends the stream of this request, if it is still open. */
  stop(requestId: string): void {
    this.#running.get(requestId)?.abort();
  }

  stopAll(): void {
    for (const controller of this.#running.values()) controller.abort();
  }

  /** Relays until the stream ends or the signal is aborted. */
  protected abstract relay(calls: Pick<Calls, Call>, request: Request, signal: AbortSignal): Promise<void>;

  /** Reports to the leader that `maxStreams` streams are running already. */
  protected abstract refuse(calls: Pick<Calls, Call>, request: Request, maxStreams: number): Promise<void>;
}
