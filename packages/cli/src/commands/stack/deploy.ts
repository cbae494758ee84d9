import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  BerthError,
  type DeployStackResponse,
  ServiceOutcome_Kind,
  type ServiceSpec,
  stackNameProblem,
} from "@berth/proto";
import type { Cli, GlobalOptions, Terminal } from "../../cli.js";
import { type ControlClient, untilLed, withClient } from "../../client.js";
import type { Diagnostic } from "../../compose/diagnostics.js";
import { formatDiagnostic, formatDiagnostics, PLAIN_STYLE } from "../../compose/format-diagnostics.js";
import { type InputFile, loadStack } from "../../compose/load-stack.js";
import { timeoutMsOf } from "../../options/parse-options.js";
import { counted } from "../../output/human.js";
import { printJson } from "../../output/print.js";
import { styled } from "../../output/style.js";
import { outcomeWord } from "../../output/words.js";
import { createProgressPrinter, SILENT_PRINTER } from "../../wait/progress-printer.js";
import { waitForServices } from "../../wait/wait-for-services.js";

export interface DeployOptions extends GlobalOptions {
  readonly composeFile: readonly string[];
  readonly envFile?: readonly string[];
  readonly prune?: boolean;
  readonly detach?: boolean;
  readonly quiet?: boolean;
  readonly timeout: string;
}

/** The server works through all services before it answers. */
const DEPLOY_TIMEOUT_MS = 60_000;
/** More messages than this of one kind nobody reads at once. */
const MAX_SHOWN = 100;
const STDIN = "-";
const DEFAULT_ENV_FILE = ".env";

/** `berth stack deploy -c FILE… NAME` */
export async function deployStack(cli: Cli, options: DeployOptions, stack: string): Promise<void> {
  const timeoutMs = timeoutMsOf(options.timeout);
  const specs = await readSpecs(cli, options, stack);
  await withClient(cli, options, async (client) => {
    const request = { stack, services: [...specs], prune: options.prune ?? false };
    const call = { signal: cli.signal, timeoutMs: DEPLOY_TIMEOUT_MS };
    const response = await untilLed(cli, () => client.deployStack(request, call));
    const terminal = options.output === "json" ? cli.stderr : cli.stdout;
    if (!options.quiet) printOutcomes(terminal, response);
    if (!options.detach) await waitForDeploy(cli, client, { stack, response, timeoutMs, terminal, options });
    if (options.output === "json") printJson(cli, deployJson(stack, response));
  });
}

/** @throws BerthError BERTH_COMPOSE_INVALID with everything that is wrong in the files. */
async function readSpecs(cli: Cli, options: DeployOptions, stack: string): Promise<readonly ServiceSpec[]> {
  const problem = stackNameProblem(stack);
  if (problem !== undefined) throw new BerthError({ code: "BERTH_INPUT_INVALID", message: problem });
  const files = await Promise.all(options.composeFile.map((name) => readInput(cli, name)));
  const { specs, diagnostics } = loadStack({
    stack,
    files,
    envFiles: await readEnvFiles(cli, options, files),
    environment: cli.env,
    homeDirectory: cli.homeDirectory,
    readFile: readIfPresent,
  });
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  const warnings = diagnostics.filter(({ severity }) => severity === "warning");
  if (!options.quiet) printDiagnostics(cli, warnings);
  if (errors.length === 0) return specs;
  printDiagnostics(cli, errors);
  throw new BerthError({
    code: "BERTH_COMPOSE_INVALID",
    message: `${counted(errors.length, "error")} in ${options.composeFile.join(", ")}: nothing was deployed`,
    details: Object.fromEntries(
      errors.slice(0, MAX_SHOWN).map((error, index) => [String(index + 1), formatDiagnostic(error)]),
    ),
  });
}

async function readInput(cli: Cli, name: string): Promise<InputFile> {
  if (name === STDIN)
    return { name: "<stdin>", path: join(cli.cwd, "compose.yaml"), bytes: await cli.readStdin() };
  const path = resolve(cli.cwd, name);
  try {
    return { name, path, bytes: await readFile(path) };
  } catch (cause) {
    throw unreadable(name, cause);
  }
}

/** Those that were named, or the `.env` beside the first file. */
async function readEnvFiles(
  cli: Cli,
  { envFile }: DeployOptions,
  files: readonly InputFile[],
): Promise<readonly InputFile[]> {
  if (envFile !== undefined) return Promise.all(envFile.map((name) => readInput(cli, name)));
  const path = resolve(files[0]?.path ?? cli.cwd, "..", DEFAULT_ENV_FILE);
  const bytes = readIfPresent(path);
  return bytes === undefined ? [] : [{ name: DEFAULT_ENV_FILE, path, bytes }];
}

function readIfPresent(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw unreadable(path, cause);
  }
}

function unreadable(name: string, cause: unknown): BerthError {
  const isMissing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
  const reason = isMissing ? "there is no such file" : String(cause);
  return new BerthError({ code: "BERTH_INPUT_INVALID", message: `cannot read ${name}: ${reason}`, cause });
}

function printDiagnostics(cli: Cli, diagnostics: readonly Diagnostic[]): void {
  const colours = { place: "bold", error: "red", warning: "yellow", excerpt: "dim" } as const;
  const style = cli.stderr.isTty
    ? {
        excerpt: true,
        paint: (part: keyof typeof colours, text: string) => styled(cli, cli.stderr, colours[part], text),
      }
    : PLAIN_STYLE;
  const messages = formatDiagnostics(diagnostics, style);
  for (const message of messages.slice(0, MAX_SHOWN)) cli.stderr.write(`${message}\n`);
  const hidden = messages.length - MAX_SHOWN;
  if (hidden > 0) cli.stderr.write(`… and ${hidden} more\n`);
}

const VERBS = new Map<ServiceOutcome_Kind, string>([
  [ServiceOutcome_Kind.CREATED, "Creating"],
  [ServiceOutcome_Kind.UPDATED, "Updating"],
  [ServiceOutcome_Kind.REMOVED, "Removing"],
]);

function printOutcomes(terminal: Terminal, { services }: DeployStackResponse): void {
  for (const { name, kind } of services) {
    const verb = VERBS.get(kind);
    const line = verb === undefined ? `Service ${name} is ${outcomeWord(kind)}` : `${verb} service ${name}`;
    terminal.write(`${line}\n`);
  }
}

interface DeployWait {
  readonly stack: string;
  readonly response: DeployStackResponse;
  readonly timeoutMs: number;
  readonly terminal: Terminal;
  readonly options: DeployOptions;
}

async function waitForDeploy(cli: Cli, client: ControlClient, wait: DeployWait): Promise<void> {
  const { stack, response, timeoutMs, terminal, options } = wait;
  const printer = options.quiet ? SILENT_PRINTER : createProgressPrinter(terminal, cli.now);
  const services = response.services.map(({ serviceId, name }) => ({ id: serviceId, name }));
  const goesOn = `The deploy of ${stack} goes on`;
  const progress = await waitForServices(cli, client, { services, timeoutMs, printer, goesOn });
  const alive = [...progress.services.values()].filter(({ watched }) => watched?.removed === false);
  const tasks = alive.reduce((sum, { watched }) => sum + (watched?.summary?.running ?? 0), 0);
  const done = styled(cli, terminal, "green", "Deployed");
  if (!options.quiet)
    terminal.write(
      `${done} ${stack}: ${counted(alive.length, "service")}, ${counted(tasks, "task")} running\n`,
    );
}

function deployJson(stack: string, { services }: DeployStackResponse): unknown {
  return {
    stack,
    services: services.map(({ serviceId, name, kind, version }) => ({
      id: serviceId,
      name,
      outcome: outcomeWord(kind),
      version,
    })),
  };
}
