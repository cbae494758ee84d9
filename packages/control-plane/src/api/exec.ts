import {
  BerthError,
  type ExecCommand,
  ExecInput,
  type ExecRequest,
  type ExecResponse,
  isBerthError,
  type Task,
} from "@berth/proto";
import type { CallContext } from "@berth/proto/rpc";
import { nodeNameById } from "../core/model/node-name.js";
import type { RemoteExec } from "../dispatcher/relays/exec-relay.js";
import { linkSignals } from "../runtime/abort.js";
import { firstItem } from "../runtime/first-item.js";
import type { ApiContext } from "./api-context.js";
import { findRunningTask } from "./lookup-target.js";

/** Timeout for the first message of a caller, which contains the command. */
const START_TIMEOUT_MS = 10_000;

/** Limit of arguments and environment variables together. Linux allows 128 KiB for each of them. */
const MAX_COMMAND_BYTES = 256 * 1024;

/**
 * Runs a command in the container of a running task and forwards its input and output. Ends with the command, when the
 * caller leaves, or when this server's term ends. The end of a term leaves the command's exit code unknown.
 * @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS, BERTH_NODE_UNREACHABLE, BERTH_ENGINE_FAILED
 */
export async function* exec(
  requests: AsyncIterable<ExecRequest>,
  context: ApiContext,
  caller: Pick<CallContext, "signal" | "client">,
): AsyncGenerator<ExecResponse> {
  const link = linkSignals(caller.signal, context.signal);
  const { signal } = link;
  try {
    const incoming = requests[Symbol.asyncIterator]();
    const { task, command } = await readStart(incoming, context, signal);
    const remote = context.execs.open(
      { nodeId: task.nodeId, client: caller.client, taskId: task.id, command },
      signal,
    );
    void forwardInput(incoming, remote);
    yield* forwardOutput(remote, task, context);
    signal.throwIfAborted();
  } finally {
    link.unlink();
    link.abort("the command has ended");
  }
}

/** Reads the caller's first message, checks the command and finds the task. */
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
  requireValidCommand(command);
  const { target } = message.value;
  // Found in a decision, so that the audit log has the call before the command starts.
  const task = await context.writer.submit(
    (state) => ({ changes: [], result: findRunningTask(state, target) }),
    signal,
  );
  return { task, command };
}

/** @throws BerthError BERTH_INPUT_INVALID for an empty or too long command */
function requireValidCommand({ command, env }: ExecCommand): void {
  if (command.length === 0) {
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: "exec needs a command" });
  }
  const bytes = [...command, ...env].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (bytes > MAX_COMMAND_BYTES) {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `the command and its environment are too long (${bytes} bytes, maximum ${MAX_COMMAND_BYTES})`,
    });
  }
}

function noCommand(): BerthError {
  return new BerthError({
    code: "BERTH_PROTOCOL",
    message: `the caller sent no command within ${START_TIMEOUT_MS / 1_000} s`,
  });
}

/** Forwards the caller's input. The end of the caller's stream closes the command's stdin. */
async function forwardInput(incoming: AsyncIterator<ExecRequest>, { input }: RemoteExec): Promise<void> {
  try {
    for (let next = await incoming.next(); !next.done && !input.isEnded; next = await incoming.next()) {
      const { message } = next.value;
      if (message?.$case === "input") await input.put(message.value);
    }
    await input.put(ExecInput.fromPartial({ message: { $case: "stdinEnd", value: {} } }));
  } catch {
    // The caller has left. Its signal ends the command.
  }
}

/** Forwards the command's output, with the node's name in the first message. */
async function* forwardOutput(
  { output }: RemoteExec,
  task: Task,
  { state }: ApiContext,
): AsyncGenerator<ExecResponse> {
  const hostname = nodeNameById(task.nodeId, state.nodes);
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
