import { resolve } from "node:path";
import { BerthError, stackNameProblem } from "@berth/proto";
import { type LoadedStack, loadStack, type ProjectInput } from "../../compose/load-stack.js";
import type { InputFile } from "../../compose/model/read-project.js";
import type { Diagnostic } from "../../compose/text/diagnostics.js";
import { formatDiagnostic } from "../../compose/text/format-diagnostics.js";
import { pluralize } from "../../output/human.js";
import type { Cli } from "../../process/cli.js";
import { readShipments, type ShippedDirectory } from "../../shipping/read-shipments.js";
import { MAX_PRINTED, printDiagnostics, readFileIfPresent, readInput } from "../shared/input-files.js";

const DEFAULT_ENV_FILE = ".env";

/** The Compose files of a command line, and the env files and profiles that apply to them. */
export interface ProjectFiles {
  readonly composeFile: readonly string[];
  readonly envFile?: readonly string[];
  readonly profile?: readonly string[];
}

export interface StackFiles extends ProjectFiles {
  /** Whether to leave out warnings. */
  readonly quiet?: boolean;
  /** Whether to leave the contents of secrets and configs unread. */
  readonly skipContents?: boolean;
}

/** The specs of valid Compose files. */
export interface StackSpecs extends Pick<LoadedStack, "specs" | "networks" | "builds" | "files" | "placeOf"> {
  /** Names of the files, for messages. */
  readonly fileNames: string;
  /** The files and directories that services mount from this machine. Empty if contents are skipped. */
  readonly shippedDirectories: readonly ShippedDirectory[];
}

/**
 * Loads the specs from the Compose files of a command line, and prints all warnings and errors.
 *
 * @throws BerthError BERTH_COMPOSE_INVALID if there are errors.
 */
export async function readSpecs(cli: Cli, options: StackFiles, stack: string): Promise<StackSpecs> {
  const problem = stackNameProblem(stack);
  if (problem !== undefined) throw new BerthError({ code: "BERTH_INPUT_INVALID", message: problem });
  const input = await readProjectFiles(cli, options);
  const skipContents = options.skipContents ?? false;
  const stackFiles = loadStack({ ...input, stack, skipContents });
  const shipments = skipContents ? [] : stackFiles.shipments;
  const shipped = await readShipments({ ...stackFiles, shipments }, cli.signal);
  const diagnostics = [...stackFiles.diagnostics, ...shipped.diagnostics];
  const fileNames = input.files.map(({ name }) => name).join(", ");
  const consequence = "; nothing was deployed";
  reportDiagnostics(cli, diagnostics, { fileNames, consequence, quiet: options.quiet ?? false });
  const { networks, builds, files, placeOf } = stackFiles;
  const { specs, directories: shippedDirectories } = shipped;
  return { specs, networks, builds, files, placeOf, fileNames, shippedDirectories };
}

/** Reads the Compose files and env files of a command line. */
export async function readProjectFiles(cli: Cli, options: ProjectFiles): Promise<ProjectInput> {
  const files = await Promise.all(options.composeFile.map((name) => readInput(cli, name)));
  return {
    files,
    envFiles: await readEnvFiles(cli, options, files),
    environment: cli.env,
    profiles: options.profile ?? [],
    homeDirectory: cli.homeDirectory,
    readFile: readFileIfPresent,
  };
}

export interface ReportOptions {
  readonly fileNames: string;
  /** The consequence of the errors, appended to the summary. */
  readonly consequence: string;
  /** Whether to leave out warnings. */
  readonly quiet: boolean;
}

/**
 * Prints warnings and errors.
 *
 * @throws BerthError BERTH_COMPOSE_INVALID if there are errors.
 */
export function reportDiagnostics(
  cli: Cli,
  diagnostics: readonly Diagnostic[],
  { fileNames, consequence, quiet }: ReportOptions,
): void {
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  if (!quiet) {
    printDiagnostics(
      cli,
      diagnostics.filter(({ severity }) => severity === "warning"),
    );
  }
  if (errors.length === 0) return;
  printDiagnostics(cli, errors);
  throw new BerthError({
    code: "BERTH_COMPOSE_INVALID",
    message: `${pluralize(errors.length, "error")} in ${fileNames}${consequence}`,
    details: diagnosticDetails(errors),
  });
}

/** Returns the diagnostics as details of an error, by number. */
export function diagnosticDetails(diagnostics: readonly Diagnostic[]): Readonly<Record<string, string>> {
  const printed = diagnostics.slice(0, MAX_PRINTED);
  return Object.fromEntries(
    printed.map((diagnostic, index) => [String(index + 1), formatDiagnostic(diagnostic)]),
  );
}

/** Returns the files of `--env-file`, or the `.env` file next to the first Compose file. */
async function readEnvFiles(
  cli: Cli,
  { envFile }: ProjectFiles,
  files: readonly InputFile[],
): Promise<readonly InputFile[]> {
  if (envFile !== undefined) return Promise.all(envFile.map((name) => readInput(cli, name)));
  const path = resolve(files[0]?.path ?? cli.cwd, "..", DEFAULT_ENV_FILE);
  const bytes = readFileIfPresent(path);
  return bytes === undefined ? [] : [{ name: DEFAULT_ENV_FILE, path, bytes }];
}
