import {
  BerthError,
  ExecInput,
  type ExecRequest,
  type ExecResponse,
  type ExecStart,
  isBerthError,
  type Task,
} from "@berth/proto";
import { type CallContext, callerKey } from "@berth/proto/rpc";
import { nodeNameById } from "../core/model/node-name.js";
import { agentProtocol } from "../core/model/required-protocol.js";
import type { RemoteExec } from "../dispatcher/relays/exec-relay.js";
import { linkSignals } from "../runtime/abort.js";
import { firstItem } from "../runtime/first-item.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { awaitPlacedTask } from "./await-placed-task.js";
import { requireValidStart } from "./exec-start.js";
import { findAnyRunningTask, findPlacedTask, findRunningTask } from "./lookup-target.js";

/** Timeout for the caller's first message, which specifies the stream to open. */
const START_TIMEOUT_MS = 10_000;

/** First protocol version whose agents attach to containers, copy files and connect to ports. */
const NON_COMMAND_EXEC_SINCE = 2;

/**
 * Opens a stream to the container of a task, for example for a command, and forwards its input and output. Ends with
 * the stream, when the caller leaves, or when this server's term ends. If the term ends, a command's exit code is
 * unknown.
 *
 * @throws BerthError BERTH_PROTOCOL or BERTH_INPUT_INVALID for an invalid start; BERTH_NOT_FOUND, BERTH_AMBIGUOUS;
 *   BERTH_DEADLINE if no task is placed in time; BERTH_NODE_UNREACHABLE, BERTH_UNSUPPORTED, BERTH_ENGINE_FAILED
 */
export async function* exec(
  requests: AsyncIterable<ExecRequest>,
  context: ApiContext,
  call: Pick<CallContext, "signal" | "caller" | "client">,
): AsyncGenerator<ExecResponse> {
  const link = linkSignals(call.signal, context.signal);
  const { signal } = link;
  const client = callerKey(call.caller, call.client);
  try {
    const incoming = requests[Symbol.asyncIterator]();
    const { task, start } = await readStart(incoming, context, signal);
    const remote = context.execs.open({ nodeId: task.nodeId, client, taskId: task.id, start }, signal);
    void forwardInput(incoming, remote);
    yield* forwardOutput(remote, task, context);
    signal.throwIfAborted();
  } finally {
    link.unlink();
    link.abort("the stream has ended");
  }
}

/** Reads the caller's first message, checks it and finds the task. */
async function readStart(
  incoming: AsyncIterator<ExecRequest>,
  context: ApiContext,
  signal: AbortSignal,
): Promise<{ readonly task: Task; readonly start: ExecStart }> {
  const { clock } = context.runtime;
  const first = await firstItem(
    incoming,
    { clock, timeoutMs: START_TIMEOUT_MS, timeoutError: missingStartError },
    signal,
  );
  const message = first?.message;
  if (message?.$case !== "start") {
    throw new BerthError({
      code: "BERTH_PROTOCOL",
      message: "the first message of an exec must be its start",
    });
  }
  const start = message.value;
  requireValidStart(start);
  const waitMs = start.attach?.waitMs ?? 0;
  if (waitMs > 0) await awaitPlacedTask(start.target, waitMs, context, signal);
  // Looked up in a decision, so that the audit log has the call before the stream opens.
  const task = await context.writer.submit(
    (state) => ({ changes: [], result: selectTask(state, start) }),
    signal,
  );
  requireSupportedExec(task, start, context.state);
  return { task, start };
}

/** Selects the task of a stream. For a connection to a port, any running task of a service will do. */
function selectTask(state: ClusterState, { target, attach, connectPort }: ExecStart): Task {
  if (attach !== undefined && attach.waitMs > 0) return findPlacedTask(state, target);
  return connectPort === undefined ? findRunningTask(state, target) : findAnyRunningTask(state, target);
}

/** @throws BerthError BERTH_UNSUPPORTED if the agent only knows commands */
function requireSupportedExec({ nodeId }: Task, { command }: ExecStart, { nodes }: ClusterState): void {
  if (command !== undefined || agentProtocol(nodes.get(nodeId)?.description) >= NON_COMMAND_EXEC_SINCE) {
    return;
  }
  throw new BerthError({
    code: "BERTH_UNSUPPORTED",
    message: `the agent on ${nodeNameById(nodeId, nodes)} runs an older release; upgrade it`,
  });
}

function missingStartError(): BerthError {
  return new BerthError({
    code: "BERTH_PROTOCOL",
    message: `the caller sent no start message within ${START_TIMEOUT_MS / 1_000} s`,
  });
}

/** Forwards the caller's input. The end of the caller's stream ends the input. */
async function forwardInput(incoming: AsyncIterator<ExecRequest>, { input }: RemoteExec): Promise<void> {
  try {
    for (let next = await incoming.next(); !next.done && !input.isEnded; next = await incoming.next()) {
      const { message } = next.value;
      if (message?.$case === "input") await input.put(message.value);
    }
    await input.put(ExecInput.fromPartial({ message: { $case: "stdinEnd", value: {} } }));
  } catch {
    // The caller has left. Its signal ends the stream.
  }
}

/** Forwards the output, with the node's name in the first message. */
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
