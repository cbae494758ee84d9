import { PassThrough } from "node:stream";
import type { ReadArchive, WriteArchive } from "@berth/proto";
import type { EngineStream, OutputChunk } from "../engine/engine.js";
import { writeChunk } from "../runtime/write-chunk.js";
import { exitOf, type OpenedStream } from "./opened-stream.js";
import { requireContainer, type StreamContext } from "./stream-context.js";

/** Size of the buffer for input. It holds a few chunks, so that Docker and the leader work at the same time. */
const BUFFER_BYTES = 1024 * 1024;

/** The methods of a stream to files, which has no process and no input. */
const ARCHIVE_STREAM: Omit<EngineStream, "output"> = {
  write: async () => {},
  endInput: () => {},
  resize: async () => {},
  kill: async () => {},
  exitCode: async () => 0,
};

/** Reads a file or a directory of a container as a tar archive, or only describes it if it exists. */
export async function openArchiveReader(
  taskId: string,
  { path, onlyStat }: ReadArchive,
  context: StreamContext,
): Promise<OpenedStream> {
  const { engine, signal } = context;
  const { id } = await requireContainer(taskId, context);
  const { file, chunks } = onlyStat
    ? { file: await engine.statFile(id, path, { signal }), chunks: [] }
    : await engine.readArchive(id, path, { signal });
  const stream = { ...ARCHIVE_STREAM, output: asOutput(chunks) };
  return {
    stream,
    output: stream.output,
    started: { tty: false, file },
    endsWithCaller: false,
    isHalfOpen: false,
    exited: () => exitOf(stream),
  };
}

/** Extracts the input, a tar archive, into a directory of a container. */
export async function openArchiveWriter(
  taskId: string,
  { path, keepTypes, keepOwners }: WriteArchive,
  context: StreamContext,
): Promise<OpenedStream> {
  const { engine, signal } = context;
  const { id } = await requireContainer(taskId, context);
  const archive = new PassThrough({ highWaterMark: BUFFER_BYTES });
  // If the request fails, `writing` rejects with Docker's error.
  archive.on("error", () => {});
  const writing = engine
    .writeArchive(id, archive, { path, keepTypes, keepOwners, signal })
    .finally(() => archive.destroy());
  // The reader of the output gets the error.
  writing.catch(() => {});
  const stream: EngineStream = {
    ...ARCHIVE_STREAM,
    output: asOutput(nothingUntil(writing)),
    write: (bytes) => writeChunk(archive, bytes),
    endInput: () => void archive.end(),
  };
  return {
    stream,
    output: stream.output,
    started: { tty: false, file: undefined },
    endsWithCaller: false,
    isHalfOpen: false,
    exited: () => exitOf(stream),
  };
}

async function* asOutput(chunks: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<OutputChunk> {
  for await (const bytes of chunks) yield { stream: "stdout", bytes };
}

/** Yields nothing, and ends or fails with the promise. */
async function* nothingUntil(end: Promise<void>): AsyncGenerator<Buffer> {
  await end;
  yield* [];
}
