import { BerthError, type ExecCommand, type ExecStart } from "@berth/proto";

/** Maximum total size of arguments and environment variables. Linux allows 128 KiB for a single one. */
const MAX_COMMAND_BYTES = 256 * 1024;
/** Maximum length of a path in Linux. */
const MAX_PATH_BYTES = 4_096;

/** Maximum time for which an attach can wait for its task. */
const MAX_WAIT_MS = 60 * 60 * 1_000;
const MAX_PORT = 65_535;

/**
 * Validates the first message of a stream.
 *
 * @throws BerthError BERTH_INPUT_INVALID, BERTH_PROTOCOL
 */
export function requireValidStart(start: ExecStart): void {
  const { command, attach, readArchive, writeArchive, connectPort } = start;
  const kinds = [command, attach, readArchive, writeArchive, connectPort];
  if (kinds.filter((kind) => kind !== undefined).length !== 1) {
    throw new BerthError({
      code: "BERTH_PROTOCOL",
      message: "an exec must open exactly one kind of stream: the client may be of a newer release",
    });
  }
  if (command !== undefined) requireValidCommand(command);
  const path = readArchive?.path ?? writeArchive?.path;
  if (path !== undefined) requireValidPath(path);
  if (attach !== undefined && !(attach.waitMs >= 0 && attach.waitMs <= MAX_WAIT_MS)) {
    throw invalidInputError(`a wait of ${attach.waitMs} ms is out of range (0 to ${MAX_WAIT_MS})`);
  }
  if (connectPort !== undefined && (connectPort.port < 1 || connectPort.port > MAX_PORT)) {
    throw invalidInputError(`${connectPort.port} is not a port; use 1 to ${MAX_PORT}`);
  }
}

function requireValidCommand({ command, env }: ExecCommand): void {
  if (command.length === 0) throw invalidInputError("exec needs a command");
  const bytes = [...command, ...env].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (bytes <= MAX_COMMAND_BYTES) return;
  throw invalidInputError(
    `the command and its environment are too long (${bytes} bytes, maximum ${MAX_COMMAND_BYTES})`,
  );
}

function requireValidPath(path: string): void {
  if (path === "") throw invalidInputError("the path in the container is empty");
  if (path.includes("\0")) throw invalidInputError("the path in the container contains a NUL character");
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH_BYTES) {
    throw invalidInputError(
      `the path in the container is too long (${bytes} bytes, maximum ${MAX_PATH_BYTES})`,
    );
  }
}

function invalidInputError(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
