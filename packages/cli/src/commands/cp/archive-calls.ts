import { BerthError, type ExecOutput, type ExecStart, type FileStat } from "@berth/proto";
import type { ControlClient } from "../../client/client.js";
import { createRequests } from "../streams/request-stream.js";

/** Returns the first message of a stream that reads or writes files of a container. */
export function archiveRequest(
  parts: Pick<ExecStart, "target"> & Partial<Pick<ExecStart, "readArchive" | "writeArchive">>,
): ExecStart {
  const none = { command: undefined, attach: undefined, connectPort: undefined };
  return { readArchive: undefined, writeArchive: undefined, ...none, ...parts };
}

/** A path in the container of a task. */
export interface ContainerPath {
  readonly target: string;
  readonly path: string;
}

/** A tar archive from a container, and Docker's description of its root entry. */
export interface ReceivedArchive {
  readonly file: FileStat;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** Reads an archive from a container. Resolves as soon as the first message has arrived. */
export async function readArchive(
  client: ControlClient,
  { target, path }: ContainerPath,
  signal: AbortSignal,
): Promise<ReceivedArchive> {
  const start = archiveRequest({ target, readArchive: { path, onlyStat: false } });
  const { file, chunks } = await receive(client, start, signal);
  if (file === undefined) throw incompleteError();
  return { file, chunks };
}

/** Describes a path in a container. Returns undefined if it does not exist. */
export async function statFile(
  client: ControlClient,
  { target, path }: ContainerPath,
  signal: AbortSignal,
): Promise<FileStat | undefined> {
  const start = archiveRequest({ target, readArchive: { path, onlyStat: true } });
  const { file, chunks } = await receive(client, start, signal);
  for await (const _ of chunks);
  return file;
}

async function receive(
  client: ControlClient,
  start: ExecStart,
  signal: AbortSignal,
): Promise<Pick<ReceivedArchive, "chunks"> & { readonly file: FileStat | undefined }> {
  const ended = new AbortController();
  const callSignal = AbortSignal.any([signal, ended.signal]);
  const requests = createRequests({ start, input: undefined, signal: callSignal });
  const responses = client.exec(requests.messages(), { signal: callSignal })[Symbol.asyncIterator]();
  const first = await responses.next();
  const message = first.done ? undefined : first.value.output?.message;
  if (message?.$case !== "started") throw incompleteError();
  const chunks = archiveChunks({ [Symbol.asyncIterator]: () => responses }, () => ended.abort());
  return { file: message.value.file, chunks };
}

async function* archiveChunks(
  responses: AsyncIterable<{ readonly output?: ExecOutput | undefined }>,
  onEnd: () => void,
): AsyncGenerator<Uint8Array> {
  let isComplete = false;
  try {
    for await (const { output } of responses) {
      const message = output?.message;
      if (message?.$case === "stdout") yield message.value;
      if (message?.$case === "exited") {
        isComplete = true;
        break;
      }
    }
  } finally {
    onEnd();
  }
  if (!isComplete) throw incompleteError();
}

/** Sends an archive to a container. Resolves when Docker has extracted it. */
export async function writeArchive(
  client: ControlClient,
  { start, input }: { readonly start: ExecStart; readonly input: AsyncIterable<Uint8Array> },
  signal: AbortSignal,
): Promise<void> {
  const ended = new AbortController();
  const callSignal = AbortSignal.any([signal, ended.signal]);
  let failure: unknown;
  const requests = createRequests({
    start,
    input: withFailure(input, (error) => {
      failure = error;
      ended.abort(error);
    }),
    signal: callSignal,
  });
  try {
    for await (const { output } of client.exec(requests.messages(), { signal: callSignal })) {
      if (output?.message?.$case === "exited") return;
    }
    throw incompleteError();
  } catch (error) {
    throw failure ?? error;
  } finally {
    ended.abort();
  }
}

/** Passes an error of the input to the caller. Without this, the call would only end. */
async function* withFailure(
  input: AsyncIterable<Uint8Array>,
  onFailure: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield* input;
  } catch (error) {
    onFailure(error);
    throw error;
  }
}

function incompleteError(): BerthError {
  return new BerthError({
    code: "BERTH_SERVER_UNREACHABLE",
    message: "the copy is incomplete: the server closed the connection; try again",
  });
}
