import type { ExecExited, ExecStarted } from "@berth/proto";
import type { EngineStream, OutputChunk } from "../engine/engine.js";

/** A stream to a container, with the information for its first and last message. */
export interface OpenedStream {
  readonly stream: EngineStream;
  readonly output: AsyncIterable<OutputChunk>;
  readonly started: Pick<ExecStarted, "tty" | "file">;
  /** The initial size of the terminal. */
  readonly size?: { readonly columns: number; readonly rows: number } | undefined;
  /** Whether the process is sent SIGHUP when its caller leaves. */
  readonly endsWithCaller: boolean;
  /** Whether the other side can still receive when its output has ended. */
  readonly isHalfOpen: boolean;
  /** Resolves when the stream has ended in both directions. */
  exited(): Promise<ExecExited>;
}

export const NO_DETAILS = { tty: false, file: undefined } as const;

/** Returns the exit code of a stream in the form of its last message. */
export async function exitOf(stream: Pick<EngineStream, "exitCode">): Promise<ExecExited> {
  return { exitCode: await stream.exitCode(), error: "" };
}
