import { createReadStream, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { BerthError } from "@berth/proto";
import type { InputFile } from "../../compose/model/read-project.js";
import type { Diagnostic } from "../../compose/text/diagnostics.js";
import { formatDiagnostics, PLAIN_STYLE } from "../../compose/text/format-diagnostics.js";
import { styled } from "../../output/style.js";
import type { Cli } from "../../process/cli.js";
import { MAX_INPUT_BYTES, readBounded } from "../../process/read-bounded.js";

/** Maximum number of printed diagnostics of each severity. */
export const MAX_PRINTED = 100;
const STDIN_PATH = "-";

/** Reads a file that the command line names, or standard input for `-`. */
export async function readInput(cli: Cli, name: string): Promise<InputFile> {
  if (name === STDIN_PATH) {
    return { name: "<stdin>", path: join(cli.cwd, "compose.yaml"), bytes: await cli.readStdin() };
  }
  const path = resolve(cli.cwd, name);
  try {
    return { name, path, bytes: await readBounded(createReadStream(path)) };
  } catch (cause) {
    throw createReadError(name, cause);
  }
}

/** Reads a file. Returns undefined if it does not exist. */
export function readFileIfPresent(path: string): Uint8Array | undefined {
  try {
    const { size } = statSync(path);
    if (size > MAX_INPUT_BYTES) throw new Error(`the file is larger than ${MAX_INPUT_BYTES} bytes`);
    return readFileSync(path);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw createReadError(path, cause);
  }
}

const READ_ERRORS: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "no such file or directory"],
  ["EISDIR", "is a directory"],
  ["EACCES", "permission denied"],
]);

function createReadError(name: string, cause: unknown): BerthError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const reason = READ_ERRORS.get(code) ?? (cause instanceof Error ? cause.message : String(cause));
  return new BerthError({ code: "BERTH_INPUT_INVALID", message: `cannot read ${name}: ${reason}`, cause });
}

/** Prints diagnostics to stderr, with excerpts on a terminal. */
export function printDiagnostics(cli: Cli, diagnostics: readonly Diagnostic[]): void {
  const styles = { place: "bold", error: "red", warning: "yellow", excerpt: "dim" } as const;
  const style = cli.stderr.isTty
    ? {
        showsExcerpt: true,
        paint: (part: keyof typeof styles, text: string) => styled(cli, cli.stderr, styles[part], text),
      }
    : PLAIN_STYLE;
  const messages = formatDiagnostics(diagnostics, style);
  for (const message of messages.slice(0, MAX_PRINTED)) cli.stderr.write(`${message}\n`);
  const hidden = messages.length - MAX_PRINTED;
  if (hidden > 0) cli.stderr.write(`… and ${hidden} more\n`);
}
