import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import {
  assertNever,
  type ExecInput,
  type ExecOutput,
  gatherChunks,
  type PushExecRequest,
  type StartExec,
} from "@berth/proto";
import { openStream } from "./open-stream.js";
import type { OpenedStream } from "./opened-stream.js";
import type { StreamContext } from "./stream-context.js";

/** Time for a command to clean up between SIGHUP and SIGKILL. */
const HANGUP_GRACE_MS = 5_000;

/** One stream to a container: yields its output as messages to the leader and passes input to it. */
export class ExecSession {
  readonly #request: StartExec;
  readonly #context: StreamContext;
  #opened: OpenedStream | undefined;
  #hasExited = false;
  #markStarted: () => void = () => {};
  /** Input may arrive before the stream is open. */
  readonly #started = new Promise<void>((resolve) => {
    this.#markStarted = resolve;
  });

  /** @param context its signal disconnects input and output */
  constructor(request: StartExec, context: StreamContext) {
    this.#request = request;
    this.#context = context;
    context.signal.addEventListener("abort", () => this.#markStarted(), { once: true });
  }

  /** Opens the stream and yields its output no faster than it is consumed. Never throws. */
  async *messages(): AsyncGenerator<PushExecRequest> {
    const { requestId } = this.#request;
    yield { requestId, output: undefined, error: "" };
    try {
      for await (const output of this.#outputs()) yield { requestId: "", output, error: "" };
    } catch (error) {
      if (!this.#context.signal.aborted) {
        yield {
          requestId: "",
          output: undefined,
          error: error instanceof Error ? error.message : String(error),
        };
      }
    } finally {
      this.#markStarted();
    }
  }

  /** Passes input, a terminal size or a signal to the process. */
  async handleInput({ message }: ExecInput): Promise<void> {
    await this.#started;
    const stream = this.#opened?.stream;
    if (stream === undefined) return;
    switch (message?.$case) {
      case "stdin":
        return stream.write(message.value);
      case "stdinEnd":
        return stream.endInput();
      case "resize":
        return stream.resize(message.value);
      case "signal":
        if (isSignal(message.value)) await stream.kill(message.value).catch(() => {});
        return;
      case undefined:
        // Sent by a newer leader.
        return;
      default:
        return assertNever(message);
    }
  }

  /** Ends a command whose client has disconnected: sends SIGHUP, as a closed terminal does, and later SIGKILL. */
  async hangUp(): Promise<void> {
    const opened = this.#opened;
    if (opened === undefined || this.#hasExited || !opened.endsWithCaller) return;
    const { stream } = opened;
    stream.endInput();
    await stream.kill("SIGHUP").catch(() => {});
    await sleep(HANGUP_GRACE_MS, undefined, { ref: false });
    await stream.kill("SIGKILL").catch(() => {});
  }

  async *#outputs(): AsyncGenerator<ExecOutput> {
    const { taskId } = this.#request;
    const opened = await openStream(this.#request, this.#context);
    const { stream, output, started, size, isHalfOpen } = opened;
    this.#opened = opened;
    this.#markStarted();
    if (size !== undefined) void stream.resize(size);
    yield { message: { $case: "started", value: { taskId, nodeHostname: "", ...started } } };
    for await (const { stream: $case, bytes } of gatherChunks(output)) {
      yield { message: { $case, value: bytes } };
    }
    if (isHalfOpen) yield { message: { $case: "outputEnd", value: {} } };
    const exited = await opened.exited();
    this.#hasExited = true;
    yield { message: { $case: "exited", value: exited } };
  }
}

function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name);
}
