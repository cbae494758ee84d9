import {
  BerthError,
  type ExecCommand,
  ExecInput,
  type ExecRequest,
  type ExecResponse,
  isBerthError,
  type Task,
} from "@berth/proto";
import type { RemoteExec } from "../dispatcher/relays/exec-relay.js";
import { linkSignals } from "../runtime/abort.js";
import { firstItem } from "../runtime/first-item.js";
import type { ApiContext } from "./api-context.js";
import { findRunningTask } from "./lookup.js";

/** Timeout for the first message of a caller, which contains the command. */
const START_TIMEOUT_MS = 10_000;

/** Twice the 128 KiB that Linux allows for one argument or environment variable. */
const MAX_COMMAND_BYTES = 256 * 1024;

/**
 * Runs a command in the container of a running task and passes its input and output. Ends with the command, when the
 * caller leaves, or when this server's term ends. In the last case, the command's exit code is not known.
 * @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS, BERTH_NODE_UNREACHABLE, BERTH_ENGINE_FAILED
 */
export async function* exec(
  requests: AsyncIterable<ExecRequest>,
  context: ApiContext,
  caller: AbortSignal,
): AsyncGenerator<ExecResponse> {
  const end = linkSignals(caller, context.signal);
  try {
    const incoming = requests[Symbol.asyncIterator]();
    const { task, command } = await readStart(incoming, context, end.signal);
    const remote = context.execs.open({ nodeId: task.nodeId, taskId: task.id, command }, end.signal);
    void passInput(incoming, remote);
    yield* outputOf(remote, task, context);
    end.signal.throwIfAborted();
  } finally {
    end.unlink();
    end.abort("the command has ended");
  }
}

async function readStart(
  incoming: AsyncIterator<ExecRequest>,
  context: ApiContext,
  signal: AbortSignal,
): Promise<{ readonly task: Task; readonly command: ExecCommand }> {
  const { clock } = context.runtime;
  const first = await firstItem(
    incoming,
    { clock, timeoutMs: START_TIMEOUT_MS, timeoutError: noCommand },
    signal,
  );
  const message = first?.message;
  const command = message?.$case === "start" ? message.value.command : undefined;
  if (message?.$case !== "start" || command === undefined) {
    throw new BerthError({
      code: "BERTH_PROTOCOL",
      message: "the first message of an exec must be its start",
    });
  }
  const bytes = [...command.command, ...command.env].reduce((sum, text) => sum + text.length, 0);
  if (command.command.length === 0 || bytes > MAX_COMMAND_BYTES) {
    const message = `exec needs a command of at most ${MAX_COMMAND_BYTES / 1024} KiB`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
  }
  return { task: findRunningTask(context.state, message.value.target), command };
}

function noCommand(): BerthError {
  return new BerthError({
    code: "BERTH_PROTOCOL",
    message: `the caller sent no command within ${START_TIMEOUT_MS / 1_000} s`,
  });
}

/** Forwards the caller's input. The end of the caller's stream closes the command's stdin. */
async function passInput(incoming: AsyncIterator<ExecRequest>, { input }: RemoteExec): Promise<void> {
  try {
    for (let next = await incoming.next(); !next.done && !input.isEnded; next = await incoming.next()) {
      const { message } = next.value;
      if (message?.$case === "input") await input.put(message.value);
    }
    await input.put(ExecInput.fromPartial({ message: { $case: "stdinEnd", value: {} } }));
  } catch {
    // The caller has left: its signal ends the command.
  }
}

async function* outputOf(
  { output }: RemoteExec,
  task: Task,
  { state }: ApiContext,
): AsyncGenerator<ExecResponse> {
  const hostname = state.nodes.get(task.nodeId)?.description?.hostname || task.nodeId;
  try {
    for (let next = await output.take(); next !== undefined; next = await output.take()) {
      if (next.message?.$case === "started") next.message.value.nodeHostname = hostname;
      yield { output: next };
    }
  } catch (error) {
    if (!isBerthError(error)) throw error;
    const message = `task ${task.id} (${task.serviceName}.${task.slot}) on ${hostname}: ${error.message}`;
    throw new BerthError({ code: error.code, message, cause: error });
  }
}
