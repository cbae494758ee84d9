import {
  BerthError,
  type ExecInput,
  type ExecOutput,
  type ExecStart,
  type PushExecRequest,
  type PushExecResponse,
} from "@berth/proto";
import type { CallContext } from "@berth/proto/rpc";
import { onAbort } from "../../runtime/abort.js";
import { BoundedQueue } from "../../runtime/bounded-queue.js";
import { firstItem } from "../../runtime/first-item.js";
import {
  AgentRequests,
  connectionLostError,
  type RelayOptions,
  type ResultSink,
  STREAM_TIMEOUT_MS,
} from "./agent-requests.js";

/**
 * Maximum number of queued messages in each direction, of 64 KiB each. HTTP/2 buffers as many for a busy connection.
 */
const QUEUE_CAPACITY = 8;

/** Maximum number of streams to the containers of one node. Agents have the same limit. */
const MAX_STREAMS_PER_NODE = 128;

export interface ExecTarget {
  readonly nodeId: string;
  /** The caller that opens the stream, as `callerKey` returns it. */
  readonly client: string;
  readonly taskId: string;
  /** The stream to open. */
  readonly start: ExecStart;
}

/** A stream to a task's container, with queues for its input and output. */
export class RemoteExec implements ResultSink {
  readonly input = new BoundedQueue<ExecInput>(QUEUE_CAPACITY);
  /** Ends after the `exited` message, or with an error when the stream could not be opened or its node was lost. */
  readonly output = new BoundedQueue<ExecOutput>(QUEUE_CAPACITY);
  onEnded = (): void => {};
  #hasExited = false;

  get isEnded(): boolean {
    return this.output.isEnded;
  }

  /** Whether the agent must end the stream, because it has not exited. After an error, a command may still be running. */
  get needsStop(): boolean {
    return !this.#hasExited;
  }

  /** Records that the stream is over, after its last output was queued. */
  recordExit(): void {
    this.#hasExited = true;
    this.output.end();
    this.onEnded();
  }

  end(error?: BerthError): void {
    this.input.end();
    this.output.end(error);
    this.onEnded();
  }
}

/** Opens streams to containers on the nodes. Relays input and output between the caller and the agent's PushExec stream. */
export class ExecRelay {
  readonly #options: RelayOptions;
  readonly #requests: AgentRequests<RemoteExec>;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#requests = new AgentRequests({ ...options, capacity: MAX_STREAMS_PER_NODE });
  }

  /** Fails all streams to a node that went down. */
  onNodeDown(nodeId: string): void {
    this.#requests.onNodeDown(nodeId);
  }

  /** Opens a stream. When `signal` is aborted, both queues end, and so does the agent's stream. */
  open({ nodeId, client, taskId, start }: ExecTarget, signal: AbortSignal): RemoteExec {
    const exec = new RemoteExec();
    const { command, attach, readArchive, writeArchive, connectPort } = start;
    const kinds = { command, attach, readArchive, writeArchive, connectPort };
    this.#requests.open(
      { nodeId, client },
      exec,
      {
        start: (requestId) => ({ $case: "startExec", value: { requestId, taskId, ...kinds } }),
        stop: (requestId) => ({ $case: "stopExec", value: { requestId } }),
      },
      signal,
    );
    return exec;
  }

  /** Serves the agent's stream: receives the output and yields the input until either side ends. */
  async *serve(
    requests: AsyncIterable<PushExecRequest>,
    { caller, signal }: Pick<CallContext, "caller" | "signal">,
  ): AsyncGenerator<PushExecResponse> {
    const incoming = requests[Symbol.asyncIterator]();
    const { clock } = this.#options.runtime;
    const first = await firstItem(
      incoming,
      { clock, timeoutMs: STREAM_TIMEOUT_MS, timeoutError: missingMessageError },
      signal,
    );
    if (first === undefined) return;
    const exec = this.#requests.claim(first.requestId, caller);
    const stopWatching = onAbort(signal, () => exec.end(connectionLostError()));
    void receiveOutput(incoming, exec);
    try {
      for (let next = await exec.input.take(); next !== undefined; next = await exec.input.take()) {
        yield { input: next };
      }
    } finally {
      stopWatching();
      exec.end(connectionLostError());
    }
  }
}

async function receiveOutput(incoming: AsyncIterator<PushExecRequest>, exec: RemoteExec): Promise<void> {
  try {
    for (let next = await incoming.next(); !next.done && !exec.isEnded; next = await incoming.next()) {
      const { output, error } = next.value;
      if (error !== "") exec.end(new BerthError({ code: "BERTH_ENGINE_FAILED", message: error }));
      if (output !== undefined) await exec.output.put(output);
      if (output?.message?.$case === "exited") exec.recordExit();
      if (exec.isEnded) break;
    }
  } catch {
    // The stream broke. The caller gets the error below, because the exit code is unknown.
  }
  exec.end(connectionLostError());
}

function missingMessageError(): BerthError {
  return new BerthError({
    code: "BERTH_PROTOCOL",
    message: `the agent sent no request ID within ${STREAM_TIMEOUT_MS / 1_000} s`,
  });
}
