import type { BerthError } from "@berth/proto";
import { styled } from "./output/style.js";
import { type Cli, ExitStatus, InterruptedError } from "./process/cli.js";

/** Exit code of a successful command. Errors of the servers have exit code 1 or 3, see `ERROR_CODES`. */
export const EXIT_OK = 0;

/** Exit code of a failed command. */
export const EXIT_FAILED = 1;

/** Exit code for invalid arguments or files. */
export const EXIT_BAD_INPUT = 2;
/** Exit code after Ctrl-C: 128 + SIGINT, as in a shell. */
export const EXIT_INTERRUPTED = 130;
/** Exit code after the reader of the output has exited: 128 + SIGPIPE, as for `docker logs` in a pipe. */
export const EXIT_BROKEN_PIPE = 141;

/** Prints an error to stderr and returns the exit code. */
export async function reportError(error: unknown, cli: Cli, format: string): Promise<number> {
  if (error instanceof ExitStatus) {
    if (error.cause !== undefined) await reportError(error.cause, cli, format);
    return error.exitCode;
  }
  if (error instanceof InterruptedError || cli.signal.aborted) {
    if (error instanceof Error && error.message !== "") cli.stderr.write(`${error.message}\n`);
    return EXIT_INTERRUPTED;
  }
  const [{ ERROR_CODES, isBerthError }, { diskError }] = await Promise.all([
    import("@berth/proto/errors"),
    import("@berth/proto/file-error"),
  ]);
  const failure = isBerthError(error) ? error : diskError(error, "a file");
  if (failure === undefined) {
    cli.stderr.write(`${bugReportText(error)}\n`);
    return EXIT_FAILED;
  }
  cli.stderr.write(format === "json" ? errorJson(failure) : errorText(failure, cli));
  return ERROR_CODES[failure.code].exitCode;
}

function errorText({ message, code }: BerthError, cli: Cli): string {
  const label = styled(cli, cli.stderr, "red", "error:");
  return `${label} ${message}\n${styled(cli, cli.stderr, "dim", `(${code})`)}\n`;
}

function errorJson({ code, message, details }: BerthError): string {
  return `${JSON.stringify({ error: { code, message, details } })}\n`;
}

/** Formats an error that is not a BerthError with its stack. Such an error is a bug. */
function bugReportText(error: unknown): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `error: unexpected failure; please report this bug:\n${text}`;
}
