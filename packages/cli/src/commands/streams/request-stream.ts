import {
  type ExecInput,
  type ExecRequest,
  type ExecStart,
  gatherChunks,
  type StreamChunk,
} from "@berth/proto";

/** Maximum number of queued resizes and signals. Dragging a terminal window creates many. */
const MAX_QUEUED = 100;

type InputMessage = NonNullable<ExecInput["message"]>;

/** The request side of a stream to a container: the input, with resizes and signals inserted. */
export interface RequestStream {
  /** Queues a message that is sent before unread input. Drops it when the queue is full. */
  send(message: InputMessage): void;
  /** Yields the start message, then the input and queued messages. Can be called once. */
  messages(): AsyncGenerator<ExecRequest>;
}

export interface RequestStreamOptions {
  readonly start: ExecStart;
  /** The input to send. Undefined to send no input and no end of input. */
  readonly input: AsyncIterable<Uint8Array> | undefined;
  /** Ends the stream when it aborts. */
  readonly signal: AbortSignal;
}

/** Creates the request stream for one call. */
export function createRequests({ start, input, signal }: RequestStreamOptions): RequestStream {
  const queue: InputMessage[] = [];
  let wake = (): void => {};
  signal.addEventListener("abort", () => wake(), { once: true });

  async function* messages(): AsyncGenerator<ExecRequest> {
    yield { message: { $case: "start", value: start } };
    const chunks = input && gatherChunks(asChunks(input));
    let nextChunk = chunks && readInput(chunks);
    while (!signal.aborted) {
      const woken = new Promise<undefined>((resolve) => {
        wake = () => resolve(undefined);
      });
      const message =
        queue.shift() ?? (await (nextChunk === undefined ? woken : Promise.race([woken, nextChunk])));
      if (message === undefined) continue;
      yield { message: { $case: "input", value: { message } } };
      if (message.$case === "stdin") nextChunk = chunks && readInput(chunks);
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

async function readInput(input: AsyncIterator<StreamChunk<"stdin">>): Promise<InputMessage> {
  const next = await input.next();
  return next.done ? { $case: "stdinEnd", value: {} } : { $case: "stdin", value: next.value.bytes };
}

async function* asChunks(input: AsyncIterable<Uint8Array>): AsyncGenerator<StreamChunk<"stdin">> {
  for await (const bytes of input) yield { stream: "stdin", bytes: asBuffer(bytes) };
}

/** Returns a view of the bytes. A copy would cost a tenth of the throughput. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
