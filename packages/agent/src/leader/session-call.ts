import type { DispatcherServiceService, Hello, SessionRequest, SessionResponse } from "@berth/proto";
import type { RpcClient } from "@berth/proto/rpc";

export type DispatcherClient = RpcClient<typeof DispatcherServiceService>;

/**
 * The agent's call to a dispatcher for one session. Sends the hello at once, and the other messages when the session
 * begins.
 */
export class SessionCall {
  readonly startedMs = performance.now();
  readonly hello: Hello;
  readonly #abort = new AbortController();
  readonly #responses: AsyncIterator<SessionResponse>;
  readonly #first: Promise<IteratorResult<SessionResponse>>;
  #begin: (messages: AsyncIterable<SessionRequest>) => void = () => {};
  #hasFailed = false;

  constructor(client: Pick<DispatcherClient, "session">, hello: Hello) {
    this.hello = hello;
    const messages = new Promise<AsyncIterable<SessionRequest>>((resolve) => {
      this.#begin = resolve;
    });
    const responses = client.session(requests(hello, messages), { signal: this.#abort.signal });
    this.#responses = responses[Symbol.asyncIterator]();
    // gRPC starts the call when its responses are read.
    this.#first = this.#responses.next();
    this.#first.catch(() => {
      this.#hasFailed = true;
    });
  }

  /** Whether the call has failed before its first response. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** Returns whether the server responds within `timeoutMs` without an error. */
  async waitForFirstResponse(timeoutMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
    });
    try {
      return await Promise.race([this.#first.then(({ done }) => done !== true), timeout]);
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Sends the messages after the hello, and yields the responses.
   *
   * @throws the error of the call
   */
  async *responses(messages: AsyncIterable<SessionRequest>): AsyncGenerator<SessionResponse> {
    this.#begin(messages);
    try {
      for (let next = await this.#first; next.done !== true; next = await this.#responses.next()) {
        yield next.value;
      }
    } finally {
      await this.#responses.return?.();
    }
  }

  /** Ends the call. */
  abort(reason: unknown): void {
    this.#begin(NO_MESSAGES);
    this.#abort.abort(reason);
  }
}

async function* requests(
  hello: Hello,
  messages: Promise<AsyncIterable<SessionRequest>>,
): AsyncGenerator<SessionRequest> {
  yield { message: { $case: "hello", value: hello } };
  yield* await messages;
}

const NO_MESSAGES: AsyncIterable<SessionRequest> = {
  async *[Symbol.asyncIterator]() {},
};
