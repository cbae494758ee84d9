import type { ExecInput, ExecRequest, ExecStart } from "@berth/proto";
import type { StandardStreams } from "../../process/cli.js";

/** Resizes and signals that wait for the server; a terminal that is dragged about makes many. */
const MAX_WAITING = 100;

type InputMessage = NonNullable<ExecInput["message"]>;

export interface ExecRequests {
  /** Goes before the input that has not been read yet. */
  send(message: InputMessage): void;
  messages(): AsyncGenerator<ExecRequest>;
}

export interface ExecRequestsOptions {
  readonly start: ExecStart;
  readonly passthrough: Pick<StandardStreams, "input">;
  /** Ends the messages. */
  readonly signal: AbortSignal;
}

/** What is said to a command: its start, then input as it is typed, among what is sent beside it. */
export function execRequests({ start, passthrough, signal }: ExecRequestsOptions): ExecRequests {
  const waiting: InputMessage[] = [];
  let wake = (): void => {};
  signal.addEventListener("abort", () => wake(), { once: true });

  async function* messages(): AsyncGenerator<ExecRequest> {
    yield { message: { $case: "start", value: start } };
    const input = passthrough.input(signal)[Symbol.asyncIterator]();
    let chunk = start.command?.stdin ? read(input) : undefined;
    while (!signal.aborted) {
      const news = new Promise<undefined>((resolve) => {
        wake = () => resolve(undefined);
      });
      const message = waiting.shift() ?? (await (chunk === undefined ? news : Promise.race([news, chunk])));
      if (message === undefined) continue;
      yield { message: { $case: "input", value: { message } } };
      if (message.$case === "stdin") chunk = read(input);
      if (message.$case === "stdinEnd") chunk = undefined;
    }
  }

  return {
    messages,
    send: (message) => {
      if (waiting.length < MAX_WAITING) waiting.push(message);
      wake();
    },
  };
}

async function read(input: AsyncIterator<Uint8Array>): Promise<InputMessage> {
  const next = await input.next();
  return next.done ? { $case: "stdinEnd", value: {} } : { $case: "stdin", value: Buffer.from(next.value) };
}
