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
import type { Runtime } from "../../runtime/runtime.js";
import { GroupedMap } from "../../state/grouped.js";
import type { Session } from "../session.js";

/** Messages that wait for a slow reader, each way: at 64 KiB each little, and enough for the wire not to pause. */
const CAPACITY = 16;

/** An agent answers at once; Docker may take a few seconds to start a command on a busy host, which comes after. */
const ANSWER_TIMEOUT_MS = 5_000;

export interface ExecOrder {
  readonly nodeId: string;
  readonly taskId: string;
  readonly command: ExecCommand;
}

/** A command in a task's container. */
export interface RemoteExec {
  readonly input: BoundedQueue<ExecInput>;
  /** Ends after `exited`, and with an error when the command could not be run or its node was lost. */
  readonly output: BoundedQueue<ExecOutput>;
}

interface Pending extends RemoteExec {
  readonly answered: () => void;
}

/** Runs commands through the agents, which are asked over their sessions and answer over a stream of their own. */
export class ExecRelay {
  readonly #runtime: Runtime;
  readonly #sessionOf: (nodeId: string) => Session | undefined;
  readonly #pending = new Map<string, Pending>();
  /** Outputs that are open, by their nodes. */
  readonly #open = new GroupedMap<RemoteExec["output"]>();

  constructor(options: {
    readonly runtime: Runtime;
    readonly sessionOf: (nodeId: string) => Session | undefined;
  }) {
    this.#runtime = options.runtime;
    this.#sessionOf = options.sessionOf;
  }

  /** Nothing more comes from there, whatever its connection says. */
  nodeIsGone(nodeId: string): void {
    for (const output of this.#open.get(nodeId).values()) output.end(unreachable("its node is down"));
  }

  /** Orders a command. Both channels end when `signal` aborts; the agent then ends the command. */
  open({ nodeId, taskId, command }: ExecOrder, signal: AbortSignal): RemoteExec {
    const input = new BoundedQueue<ExecInput>(CAPACITY);
    const output = new BoundedQueue<ExecOutput>(CAPACITY);
    const session = this.#sessionOf(nodeId);
    if (session === undefined) {
      output.end(unreachable("its node is not connected"));
      return { input, output };
    }
    const requestId = this.#runtime.newId();
    const cancelTimeout = this.#runtime.clock.after(ANSWER_TIMEOUT_MS, () =>
      output.end(unreachable("its node does not answer")),
    );
    this.#pending.set(requestId, { input, output, answered: cancelTimeout });
    this.#open.set(nodeId, requestId, output);
    session.send({ $case: "startExec", value: { requestId, taskId, command } });
    onAbort(signal, () => {
      cancelTimeout();
      this.#pending.delete(requestId);
      this.#open.delete(nodeId, requestId);
      input.end();
      output.end();
      // Beside the stream, which an agent may not be reading while the command does not.
      if (!session.isEnded) session.send({ $case: "stopExec", value: { requestId } });
    });
    return { input, output };
  }

  /** The agent's side: takes what the command prints and gives what is typed, until either side has enough. */
  async *push(
    requests: AsyncIterable<PushExecRequest>,
    { signal }: Pick<CallContext, "signal">,
  ): AsyncGenerator<PushExecResponse> {
    const incoming = requests[Symbol.asyncIterator]();
    const first = await incoming.next();
    if (first.done) return;
    const { input, output } = this.#claim(first.value.requestId);
    const forget = onAbort(signal, () => {
      input.end();
      output.end(brokenOff());
    });
    void takeOutput(incoming, output).finally(() => input.end());
    try {
      for (let next = await input.take(); next !== undefined; next = await input.take())
        yield { input: next };
    } finally {
      forget();
      output.end(brokenOff());
    }
  }

  #claim(requestId: string): RemoteExec {
    const pending = this.#pending.get(requestId);
    if (pending === undefined || pending.output.isEnded) {
      throw new BerthError({
        code: "BERTH_NOT_FOUND",
        message: `Nobody waits for the command ${requestId} any more.`,
      });
    }
    pending.answered();
    this.#pending.delete(requestId);
    return pending;
  }
}

async function takeOutput(
  incoming: AsyncIterator<PushExecRequest>,
  output: BoundedQueue<ExecOutput>,
): Promise<void> {
  try {
    for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
      const { output: message, error } = next.value;
      if (error !== "") output.end(new BerthError({ code: "BERTH_ENGINE_FAILED", message: error }));
      if (message !== undefined) await output.put(message);
      if (message?.message?.$case === "exited") output.end();
      if (output.isEnded) return;
    }
  } catch {
    // Whatever broke the stream: the caller is told that its end is missing.
  }
  output.end(brokenOff());
}

const brokenOff = (): BerthError => unreachable("the connection to its node broke");

function unreachable(message: string): BerthError {
  return new BerthError({ code: "BERTH_NODE_UNREACHABLE", message });
}
