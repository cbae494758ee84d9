import { createReadStream, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { BerthError, stackNameProblem } from "@berth/proto";
import { type InputFile, type LoadedStack, loadStack } from "../../compose/load-stack.js";
import type { Diagnostic } from "../../compose/text/diagnostics.js";
import { formatDiagnostic, formatDiagnostics, PLAIN_STYLE } from "../../compose/text/format-diagnostics.js";
import { pluralize } from "../../output/human.js";
import { styled } from "../../output/style.js";
import type { Cli } from "../../process/cli.js";
import { MAX_INPUT_BYTES, readBounded } from "../../process/read-bounded.js";

/** Maximum number of printed diagnostics of each severity. */
const MAX_PRINTED = 100;
const STDIN = "-";
const DEFAULT_ENV_FILE = ".env";

export interface StackFiles {
  readonly composeFile: readonly string[];
  readonly envFile?: readonly string[];
  /** Do not print warnings. */
  readonly quiet?: boolean;
}

/**
 * Loads the specs from the Compose files of a command line, and prints all warnings and errors.
 * @throws BerthError BERTH_COMPOSE_INVALID when there are errors.
 */
export async function readSpecs(
  cli: Cli,
  options: StackFiles,
  stack: string,
): Promise<Pick<LoadedStack, "specs" | "networks">> {
  const problem = stackNameProblem(stack);
  if (problem !== undefined) throw new BerthError({ code: "BERTH_INPUT_INVALID", message: problem });
  const files = await Promise.all(options.composeFile.map((name) => readInput(cli, name)));
  const { specs, networks, diagnostics } = loadStack({
    stack,
    files,
    envFiles: await readEnvFiles(cli, options, files),
    environment: cli.env,
    homeDirectory: cli.homeDirectory,
    readFile: readFileIfPresent,
  });
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  const warnings = diagnostics.filter(({ severity }) => severity === "warning");
  if (!options.quiet) printDiagnostics(cli, warnings);
  if (errors.length === 0) return { specs, networks };
  printDiagnostics(cli, errors);
  throw new BerthError({
    code: "BERTH_COMPOSE_INVALID",
    message: `${pluralize(errors.length, "error")} in ${files.map(({ name }) => name).join(", ")}; nothing was deployed`,
    details: Object.fromEntries(
      errors.slice(0, MAX_PRINTED).map((error, index) => [String(index + 1), formatDiagnostic(error)]),
    ),
  });
}

async function readInput(cli: Cli, name: string): Promise<InputFile> {
  if (name === STDIN)
    return { name: "<stdin>", path: join(cli.cwd, "compose.yaml"), bytes: await cli.readStdin() };
  const path = resolve(cli.cwd, name);
  try {
    return { name, path, bytes: await readBounded(createReadStream(path)) };
  } catch (cause) {
    throw createReadError(name, cause);
  }
}

/** Returns the files of `--env-file`, or the `.env` file next to the first Compose file. */
async function readEnvFiles(
  cli: Cli,
  { envFile }: StackFiles,
  files: readonly InputFile[],
): Promise<readonly InputFile[]> {
  if (envFile !== undefined) return Promise.all(envFile.map((name) => readInput(cli, name)));
  const path = resolve(files[0]?.path ?? cli.cwd, "..", DEFAULT_ENV_FILE);
  const bytes = readFileIfPresent(path);
  return bytes === undefined ? [] : [{ name: DEFAULT_ENV_FILE, path, bytes }];
}

function readFileIfPresent(path: string): Uint8Array | undefined {
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

function printDiagnostics(cli: Cli, diagnostics: readonly Diagnostic[]): void {
  const styles = { place: "bold", error: "red", warning: "yellow", excerpt: "dim" } as const;
  const style = cli.stderr.isTty
    ? {
        excerpt: true,
        paint: (part: keyof typeof styles, text: string) => styled(cli, cli.stderr, styles[part], text),
      }
    : PLAIN_STYLE;
  const messages = formatDiagnostics(diagnostics, style);
  for (const message of messages.slice(0, MAX_PRINTED)) cli.stderr.write(`${message}\n`);
  const hidden = messages.length - MAX_PRINTED;
  if (hidden > 0) cli.stderr.write(`… and ${hidden} more\n`);
}
