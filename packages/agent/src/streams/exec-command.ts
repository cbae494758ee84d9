import type { ExecCommand } from "@berth/proto";
import type { EngineStream } from "../engine/engine.js";
import { exitOf, NO_DETAILS, type OpenedStream } from "./opened-stream.js";
import { requireRunning, type StreamContext } from "./stream-context.js";

/** Runs a command in the container of a task. */
export async function openCommand(
  taskId: string,
  command: ExecCommand,
  context: StreamContext,
): Promise<OpenedStream> {
  const { engine, signal } = context;
  const container = await requireRunning(taskId, context);
  const options = { ...command, signal };
  const shared = { started: NO_DETAILS, endsWithCaller: true, isHalfOpen: false };
  if (command.detach) {
    await engine.execDetached(container.id, options);
    return {
      ...shared,
      stream: DETACHED_STREAM,
      output: DETACHED_STREAM.output,
      exited: () => exitOf(DETACHED_STREAM),
    };
  }
  const stream = await engine.exec(container.id, options);
  const size = command.tty ? command.size : undefined;
  return { ...shared, stream, output: stream.output, size, exited: () => exitOf(stream) };
}

/** The stream of a command that runs in the background, without a connection. */
const DETACHED_STREAM: EngineStream = {
  output: { [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true, value: undefined }) }) },
  write: async () => {},
  endInput: () => {},
  resize: async () => {},
  kill: async () => {},
  exitCode: async () => 0,
};
