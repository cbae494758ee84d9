import { homedir } from "node:os";
import { CommanderError } from "commander";
import { EXIT_BAD_INPUT, EXIT_FAILED, EXIT_OK, reportError } from "./exit.js";
import { terminateExecOptions } from "./grammar/exec-arguments.js";
import { createProgram, SUBPROGRAMS } from "./grammar/program.js";
import { type Cli, InterruptedError, type Terminal } from "./process/cli.js";
import { readBounded } from "./process/read-bounded.js";
import { standardStreams } from "./process/standard-streams.js";

const DEFAULT_COLUMNS = 80;

/** Runs one command line (without the program's name) and gives its exit code. */
export async function run(argv: readonly string[], cli: Cli): Promise<number> {
  const [first = ""] = argv;
  // Commander's own help command looks one word deep.
  if (first === "help") return run([...argv.slice(1), "--help"], cli);
  const other = Object.hasOwn(SUBPROGRAMS, first) ? SUBPROGRAMS[first] : undefined;
  if (other !== undefined) return runOther(other.module, argv.slice(1));
  if (first === "__complete") return (await import("./completion/complete.js")).complete(cli, argv.slice(1));
  if (first === "--version" || first === "-v") return printVersion(cli);
  const program = createProgram(cli);
  try {
    await program.parseAsync([...terminateExecOptions(argv, program)], { from: "user" });
    return EXIT_OK;
  } catch (error) {
    // Commander has shown the help that was asked for, or said what was wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_BAD_INPUT;
    return reportError(error, cli, String(program.opts().output));
  }
}

/** Loaded for this alone: commander would want the number before anybody asks. */
async function printVersion(cli: Cli): Promise<number> {
  const { BERTH_VERSION } = await import("@berth/proto");
  cli.stdout.write(`berth ${BERTH_VERSION}\n`);
  return EXIT_OK;
}

/** Runs the process's own command line. Called once, by bin/berth.js. */
export async function main(): Promise<void> {
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort(new InterruptedError("")));
  for (const stream of [process.stdout, process.stderr]) stream.on("error", endOnBrokenPipe);
  process.exitCode = await run(process.argv.slice(2), {
    stdout: terminalOf(process.stdout),
    stderr: terminalOf(process.stderr),
    env: process.env,
    cwd: process.cwd(),
    homeDirectory: homedir(),
    readStdin: () => readBounded(process.stdin),
    streams: standardStreams(),
    signal: interrupt.signal,
    now: Date.now,
  });
}

/** The other packages are found at run time: the command line is built without them. */
async function runOther(specifier: string, argv: readonly string[]): Promise<number> {
  const program: unknown = await import(import.meta.resolve(specifier));
  if (!hasMain(program)) throw new Error(`${specifier} has no main()`);
  return program.main(argv);
}

function hasMain(value: unknown): value is { main: (argv: readonly string[]) => Promise<number> } {
  return typeof value === "object" && value !== null && "main" in value && typeof value.main === "function";
}

function terminalOf(stream: NodeJS.WriteStream): Terminal {
  return {
    write: (text) => stream.write(text),
    isTty: stream.isTTY === true,
    get columns() {
      // A terminal whose size nobody set says 0.
      return stream.columns || DEFAULT_COLUMNS;
    },
  };
}

/** `berth … | head` ends when head does. */
function endOnBrokenPipe(error: NodeJS.ErrnoException): void {
  process.exit(error.code === "EPIPE" ? EXIT_OK : EXIT_FAILED);
}
