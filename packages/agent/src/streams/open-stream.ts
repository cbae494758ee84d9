import type { StartExec } from "@berth/proto";
import { openArchiveReader, openArchiveWriter } from "./archive-streams.js";
import { openAttachment } from "./attachment.js";
import { connectPort } from "./connect-port.js";
import { openCommand } from "./exec-command.js";
import type { OpenedStream } from "./opened-stream.js";
import type { StreamContext } from "./stream-context.js";

/** Opens the stream that a request asks for. Rejects with the reason for the user. */
export function openStream(request: StartExec, context: StreamContext): Promise<OpenedStream> {
  const { taskId, command, attach, readArchive, writeArchive, connectPort: port } = request;
  if (command !== undefined) return openCommand(taskId, command, context);
  if (attach !== undefined) return openAttachment(taskId, attach, context);
  if (readArchive !== undefined) return openArchiveReader(taskId, readArchive, context);
  if (writeArchive !== undefined) return openArchiveWriter(taskId, writeArchive, context);
  if (port !== undefined) return connectPort(taskId, port, context);
  return Promise.reject(new Error("the agent does not know this kind of stream; upgrade the agent"));
}
