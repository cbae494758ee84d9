import {
  BerthError,
  type ExecCommand,
  type ExecInput,
  type ExecOutput,
  type PushExecRequest,
  type PushExecResponse,
} from "@berth/proto";
import type { CallContext } from "@berth/proto/rpc";
import { onAbort } from "../../runtime/abort.js";
import { BoundedQueue } from "../../runtime/bounded-queue.js";
import { firstItem } from "../../runtime/first-item.js";
import {
  AgentRequests,
  ANSWER_TIMEOUT_MS,
  connectionLost,
  type RelayOptions,
  type ResultSink,
} from "./agent-requests.js";

/** Queued messages in each direction. At 64 KiB each, 16 messages keep the connection busy. */
const QUEUE_CAPACITY = 16;

/** Limit of commands that run on one node. Agents have the same limit. */
const MAX_EXECS_PER_NODE = 32;

export interface ExecTarget {
  readonly nodeId: string;
  /** Address of the client that runs the command. */
  readonly client: string;
  readonly taskId: string;
  readonly command: ExecCommand;
}

/** A command that runs in a task's container, with queues for its input and output. */
export class RemoteExec implements ResultSink {
  readonly input = new BoundedQueue<ExecInput>(QUEUE_CAPACITY);
  /** Ends after the `exited` message, or with an error when the command could not run or its node was lost. */
  readonly output = new BoundedQueue<ExecOutput>(QUEUE_CAPACITY);
  onEnded = (): void => {};
  #hasExited = false;

  get isEnded(): boolean {
    return this.output.isEnded;
  }

  /** Whether the agent must stop the command: it has not exited. After an error, it may still run. */
  get needsStop(): boolean {
    return !this.#hasExited;
  }

  /** Records that the command has exited, after its last output was queued. */
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

/** Runs commands on the nodes, for `berth exec`. Relays input and output between the caller and the agent's PushExec stream. */
export class ExecRelay {
  readonly #options: RelayOptions;
  readonly #requests: AgentRequests<RemoteExec>;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#requests = new AgentRequests({ ...options, capacity: MAX_EXECS_PER_NODE });
  }

  /** Fails all commands on a node that went down. */
  onNodeDown(nodeId: string): void {
    this.#requests.onNodeDown(nodeId);
  }

  /** Starts a command. When `signal` aborts, both queues end and the agent stops the command. */
  open({ nodeId, client, taskId, command }: ExecTarget, signal: AbortSignal): RemoteExec {
    const exec = new RemoteExec();
    this.#requests.open(
      { nodeId, client },
      exec,
      {
        start: (requestId) => ({ $case: "startExec", value: { requestId, taskId, command } }),
        stop: (requestId) => ({ $case: "stopExec", value: { requestId } }),
      },
      signal,
    );
    return exec;
  }

  /** Serves the agent's stream: receives the command's output and yields its input until either side ends. */
  async *serve(
    requests: AsyncIterable<PushExecRequest>,
    { caller, signal }: Pick<CallContext, "caller" | "signal">,
  ): AsyncGenerator<PushExecResponse> {
    const incoming = requests[Symbol.asyncIterator]();
    const { clock } = this.#options.runtime;
    const first = await firstItem(
      incoming,
      { clock, timeoutMs: ANSWER_TIMEOUT_MS, timeoutError: noFirstMessage },
      signal,
    );
    if (first === undefined) return;
    const exec = this.#requests.claim(first.requestId, caller);
    const stopWatching = onAbort(signal, () => exec.end(connectionLost()));
    void receiveOutput(incoming, exec);
    try {
      for (let next = await exec.input.take(); next !== undefined; next = await exec.input.take())
        yield { input: next };
    } finally {
      stopWatching();
      exec.end(connectionLost());
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
    // The stream broke. The caller gets the error below, since the exit code is not known.
  }
  exec.end(connectionLost());
}

function noFirstMessage(): BerthError {
  return new BerthError({
    code: "BERTH_PROTOCOL",
    message: `the agent sent no request id within ${ANSWER_TIMEOUT_MS / 1_000} s`,
  });
}
