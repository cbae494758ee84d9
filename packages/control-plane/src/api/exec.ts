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
import { linkSignals, onAbort } from "../runtime/abort.js";
import type { ApiContext } from "./api-context.js";
import { findRunningTask } from "./lookup.js";

/** A caller says what it wants in its first message, which it has at hand. */
const START_TIMEOUT_MS = 10_000;

/** A program's arguments and environment are 128 KiB each at most on Linux; a message of more is no command line. */
const MAX_COMMAND_BYTES = 256 * 1024;

/**
 * Runs a command in the container of a running task and passes its input and output. Ends with the command, with the
 * caller, or with this server's term: then nobody may say whether the command has ended by itself.
 * @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS, BERTH_NODE_UNREACHABLE, BERTH_ENGINE_FAILED
 */
export async function* exec(
  requests: AsyncIterable<ExecRequest>,
  scope: ApiContext,
  caller: AbortSignal,
): AsyncGenerator<ExecResponse> {
  const over = linkSignals(caller, scope.signal);
  try {
    const incoming = requests[Symbol.asyncIterator]();
    const { task, command } = await readStart(incoming, scope, over.signal);
    const remote = scope.execs.open({ nodeId: task.nodeId, taskId: task.id, command }, over.signal);
    void passInput(incoming, remote);
    yield* outputOf(remote, task, scope);
    over.signal.throwIfAborted();
  } finally {
    over.unlink();
    over.abort("the command has ended");
  }
}

async function readStart(
  incoming: AsyncIterator<ExecRequest>,
  scope: ApiContext,
  signal: AbortSignal,
): Promise<{ readonly task: Task; readonly command: ExecCommand }> {
  const { message } = await firstOf(incoming, scope, signal);
  const command = message?.$case === "start" ? message.value.command : undefined;
  if (message?.$case !== "start" || command === undefined) {
    throw new BerthError({ code: "BERTH_PROTOCOL", message: "An exec begins with what is to be run." });
  }
  const bytes = [...command.command, ...command.env].reduce((sum, text) => sum + text.length, 0);
  if (command.command.length === 0 || bytes > MAX_COMMAND_BYTES) {
    const message = `Name a command of at most ${MAX_COMMAND_BYTES / 1024} KiB to run.`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
  }
  return { task: findRunningTask(scope.state, message.value.target), command };
}

function firstOf(
  incoming: AsyncIterator<ExecRequest>,
  { runtime }: ApiContext,
  signal: AbortSignal,
): Promise<ExecRequest> {
  return new Promise((resolve, reject) => {
    const silent = new BerthError({ code: "BERTH_PROTOCOL", message: "The caller did not say what to run." });
    const cancel = runtime.clock.after(START_TIMEOUT_MS, () => reject(silent));
    const forget = onAbort(signal, () => reject(signal.reason));
    incoming
      .next()
      .then((next) => (next.done ? reject(silent) : resolve(next.value)), reject)
      .finally(() => {
        cancel();
        forget();
      });
  });
}

/** A caller that says nothing more has closed its input. */
async function passInput(incoming: AsyncIterator<ExecRequest>, { input }: RemoteExec): Promise<void> {
  try {
    for (let next = await incoming.next(); !next.done && !input.isEnded; next = await incoming.next()) {
      const { message } = next.value;
      if (message?.$case === "input") await input.put(message.value);
    }
    await input.put(ExecInput.fromPartial({ message: { $case: "stdinEnd", value: {} } }));
  } catch {
    // The caller is gone: its signal ends the command.
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
    const message = `Task ${task.id} (${task.serviceName}.${task.slot}) on ${hostname}: ${error.message}.`;
    throw new BerthError({ code: error.code, message, cause: error });
  }
}
