import { resolve } from "node:path";
import { BerthError, stackNameProblem } from "@berth/proto";
import { type InputFile, type LoadedStack, loadStack } from "../../compose/load-stack.js";
import type { Diagnostic } from "../../compose/text/diagnostics.js";
import { formatDiagnostic } from "../../compose/text/format-diagnostics.js";
import { pluralize } from "../../output/human.js";
import type { Cli } from "../../process/cli.js";
import { MAX_PRINTED, printDiagnostics, readFileIfPresent, readInput } from "../shared/input-files.js";

const DEFAULT_ENV_FILE = ".env";

export interface StackFiles {
  readonly composeFile: readonly string[];
  readonly envFile?: readonly string[];
  /** Do not print warnings. */
  readonly quiet?: boolean;
  /** Do not read the contents of secrets and configs. */
  readonly skipsContents?: boolean;
}

/** The specs of valid Compose files. */
export interface StackSpecs extends Pick<LoadedStack, "specs" | "networks" | "files" | "placeOf"> {
  /** Names of the files, for messages. */
  readonly fileNames: string;
}

/**
 * Loads the specs from the Compose files of a command line, and prints all warnings and errors.
 * @throws BerthError BERTH_COMPOSE_INVALID when there are errors.
 */
export async function readSpecs(cli: Cli, options: StackFiles, stack: string): Promise<StackSpecs> {
  const problem = stackNameProblem(stack);
  if (problem !== undefined) throw new BerthError({ code: "BERTH_INPUT_INVALID", message: problem });
  const files = await Promise.all(options.composeFile.map((name) => readInput(cli, name)));
  const {
    specs,
    networks,
    files: contents,
    diagnostics,
    placeOf,
  } = loadStack({
    stack,
    files,
    envFiles: await readEnvFiles(cli, options, files),
    environment: cli.env,
    homeDirectory: cli.homeDirectory,
    readFile: readFileIfPresent,
    skipsContents: options.skipsContents ?? false,
  });
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  const warnings = diagnostics.filter(({ severity }) => severity === "warning");
  if (!options.quiet) printDiagnostics(cli, warnings);
  const fileNames = files.map(({ name }) => name).join(", ");
  if (errors.length === 0) return { specs, networks, files: contents, placeOf, fileNames };
  printDiagnostics(cli, errors);
  throw new BerthError({
    code: "BERTH_COMPOSE_INVALID",
    message: `${pluralize(errors.length, "error")} in ${fileNames}; nothing was deployed`,
    details: diagnosticDetails(errors),
  });
}

/** Returns the diagnostics as details of an error, by number. */
export function diagnosticDetails(diagnostics: readonly Diagnostic[]): Readonly<Record<string, string>> {
  const shown = diagnostics.slice(0, MAX_PRINTED);
  return Object.fromEntries(
    shown.map((diagnostic, index) => [String(index + 1), formatDiagnostic(diagnostic)]),
  );
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
