import type { ExecInput, ExecRequest, ExecStart } from "@berth/proto";
import type { StandardStreams } from "../../process/cli.js";

/** Maximum number of queued resizes and signals. Dragging a terminal window creates many. */
const MAX_QUEUED = 100;

type InputMessage = NonNullable<ExecInput["message"]>;

/** The request stream of an exec call, into which resizes and signals can be inserted. */
export interface ExecRequestStream {
  /** Queues a message, which is sent before any input that has not been read yet. Drops it when the queue is full. */
  send(message: InputMessage): void;
  /** Yields the start message, then standard input and queued messages. Can be called once. */
  messages(): AsyncGenerator<ExecRequest>;
}

export interface ExecRequestsOptions {
  readonly start: ExecStart;
  readonly streams: Pick<StandardStreams, "input">;
  /** Ends the stream when it aborts. */
  readonly signal: AbortSignal;
}

/** Creates the request stream for one `berth exec`. */
export function createExecRequests({ start, streams, signal }: ExecRequestsOptions): ExecRequestStream {
  const queue: InputMessage[] = [];
  let wake = (): void => {};
  signal.addEventListener("abort", () => wake(), { once: true });

  async function* messages(): AsyncGenerator<ExecRequest> {
    yield { message: { $case: "start", value: start } };
    const input = streams.input(signal)[Symbol.asyncIterator]();
    let nextChunk = start.command?.stdin ? readInput(input) : undefined;
    while (!signal.aborted) {
      const woken = new Promise<undefined>((resolve) => {
        wake = () => resolve(undefined);
      });
      const message =
        queue.shift() ?? (await (nextChunk === undefined ? woken : Promise.race([woken, nextChunk])));
      if (message === undefined) continue;
      yield { message: { $case: "input", value: { message } } };
      if (message.$case === "stdin") nextChunk = readInput(input);
      if (message.$case === "stdinEnd") nextChunk = undefined;
    }
  }

  return {
    messages,
    send: (message) => {
      if (queue.length < MAX_QUEUED) queue.push(message);
      wake();
    },
  };
}

async function readInput(input: AsyncIterator<Uint8Array>): Promise<InputMessage> {
  const next = await input.next();
  return next.done ? { $case: "stdinEnd", value: {} } : { $case: "stdin", value: Buffer.from(next.value) };
}
