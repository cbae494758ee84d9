import type { ExecInput, ExecRequest, ExecStart } from "@berth/proto";
import type { StandardStreams } from "../../process/cli.js";

/** Maximum number of queued resizes and signals. Dragging a terminal window creates many. */
const MAX_QUEUED = 100;

type InputMessage = NonNullable<ExecInput["message"]>;

export interface ExecRequestStream {
  /** Queues a message. It is sent before any input that has not been read yet. */
  send(message: InputMessage): void;
  messages(): AsyncGenerator<ExecRequest>;
}

export interface ExecRequestsOptions {
  readonly start: ExecStart;
  readonly streams: Pick<StandardStreams, "input">;
  /** Ends the messages. */
  readonly signal: AbortSignal;
}

/** Creates the request stream of an exec call: the start message, then standard input and queued messages. */
export function createExecRequests({ start, streams, signal }: ExecRequestsOptions): ExecRequestStream {
  const queue: InputMessage[] = [];
  let wake = (): void => {};
  signal.addEventListener("abort", () => wake(), { once: true });

  async function* messages(): AsyncGenerator<ExecRequest> {
    yield { message: { $case: "start", value: start } };
    const input = streams.input(signal)[Symbol.asyncIterator]();
    let chunk = start.command?.stdin ? read(input) : undefined;
    while (!signal.aborted) {
      const woken = new Promise<undefined>((resolve) => {
        wake = () => resolve(undefined);
      });
      const message = queue.shift() ?? (await (chunk === undefined ? woken : Promise.race([woken, chunk])));
      if (message === undefined) continue;
      yield { message: { $case: "input", value: { message } } };
      if (message.$case === "stdin") chunk = read(input);
      if (message.$case === "stdinEnd") chunk = undefined;
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

async function read(input: AsyncIterator<Uint8Array>): Promise<InputMessage> {
  const next = await input.next();
  return next.done ? { $case: "stdinEnd", value: {} } : { $case: "stdin", value: Buffer.from(next.value) };
}
