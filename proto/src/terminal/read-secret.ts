import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { addAbortSignal, type Readable } from "node:stream";
import { BerthError } from "../errors.js";

export interface SecretSource {
  /** File to read; "-" for standard input. Undefined to prompt on a terminal, or to read standard input without one. */
  readonly file: string | undefined;
  /** Text in front of the user's input, such as "Join token: ". */
  readonly prompt: string;
  /** Name of the secret in errors, such as "join token". */
  readonly what: string;
}

/** Standard input as `process.stdin` offers it. */
export type InputStream = Readable & { readonly isTTY?: boolean };

export interface SecretStreams {
  readonly stdin: InputStream;
  /** Stream for the prompt, since standard output may be a pipe. */
  readonly stderr: { write(text: string): unknown };
}

const MAX_BYTES = 4_096;

const STANDARD_INPUT = "-";

/**
 * Reads a one-line secret from a file, from standard input, or from a terminal without echo. Returns it without
 * surrounding white space. Secrets are not accepted as arguments, because other users see those.
 *
 * @throws BerthError BERTH_INPUT_INVALID; BERTH_CANCELLED for Ctrl-C; the signal's reason
 */
export async function readSecret(
  { file, prompt, what }: SecretSource,
  { stdin, stderr }: SecretStreams,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  if (file !== undefined && file !== STANDARD_INPUT) {
    return requireOneLine(await readSecretFile(file, what, signal), what);
  }
  if (stdin.isTTY !== true) return requireOneLine(await readAll(stdin, what, signal), what);
  // Echo is off before the prompt appears.
  const line = readLineWithoutEcho(stdin, what, signal);
  stderr.write(prompt);
  try {
    return requireOneLine(await line, what);
  } finally {
    // The terminal did not show the user's line break either.
    stderr.write("\n");
  }
}

async function readSecretFile(path: string, what: string, signal: AbortSignal): Promise<string> {
  try {
    return await readAll(createReadStream(path, { end: MAX_BYTES }), what, signal);
  } catch (error) {
    if (error instanceof BerthError || signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `cannot read the ${what}: ${reason}; check the path`,
      cause: error,
    });
  }
}

/** Reads a stream to its end. */
async function readAll(stream: Readable, what: string, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of addAbortSignal(signal, stream)) {
      const bytes = Buffer.from(chunk);
      length += bytes.length;
      if (length > MAX_BYTES) throw tooLongError(what);
      chunks.push(bytes);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * Reads a line from a terminal. readline takes over echoing from the terminal, and has no output here. It supports the
 * usual keys for editing, and restores the terminal's mode when it is closed or the process is suspended.
 */
function readLineWithoutEcho(terminal: InputStream, what: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const readline = createInterface({ input: terminal, terminal: true, historySize: 0 });
    const settle = (finish: () => void): void => {
      signal.removeEventListener("abort", cancel);
      terminal.removeListener("keypress", checkLength);
      readline.removeAllListeners().close();
      finish();
    };
    const cancel = (): void => settle(() => reject(signal.reason));
    const checkLength = (): void => {
      if (readline.line.length > MAX_BYTES) settle(() => reject(tooLongError(what)));
    };
    signal.addEventListener("abort", cancel, { once: true });
    terminal.on("keypress", checkLength);
    readline.once("line", (line) => settle(() => resolve(line)));
    readline.once("SIGINT", () => settle(() => reject(interruptedError(what))));
    // Ctrl-D, or the terminal is gone.
    readline.once("close", () => settle(() => resolve("")));
  });
}

function requireOneLine(text: string, what: string): string {
  const secret = text.trim();
  if (secret === "") throw invalidSecretError(what, "it is empty; pass a file that contains it, or enter it");
  if (Buffer.byteLength(secret) > MAX_BYTES) throw tooLongError(what);
  // A file in UTF-16 has NUL characters.
  if (/\p{Cc}/u.test(secret)) {
    throw invalidSecretError(
      what,
      "it must be a single line of text without control characters; pass only the secret",
    );
  }
  return secret;
}

function tooLongError(what: string): BerthError {
  return invalidSecretError(what, `it is longer than ${MAX_BYTES} bytes; check the input`);
}

function invalidSecretError(what: string, reason: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message: `invalid ${what}: ${reason}` });
}

function interruptedError(what: string): BerthError {
  return new BerthError({ code: "BERTH_CANCELLED", message: `interrupted: no ${what} was read` });
}
