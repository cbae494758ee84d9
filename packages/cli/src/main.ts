import { homedir } from "node:os";
import { CommanderError } from "commander";
import { EXIT_BAD_INPUT, EXIT_BROKEN_PIPE, EXIT_FAILED, EXIT_OK, reportError } from "./exit.js";
import { terminateExecOptions } from "./grammar/exec-arguments.js";
import { createProgram, SUBPROGRAMS } from "./grammar/program.js";
import { SERVER_CLIENT_COMMANDS } from "./grammar/server-commands.js";
import { safeTerminal } from "./output/terminal-text.js";
import { type Cli, InterruptedError, type SecretSource, type Terminal } from "./process/cli.js";
import { readBounded } from "./process/read-bounded.js";
import { standardStreams } from "./process/standard-streams.js";

const DEFAULT_COLUMNS = 80;

/** Default of `berth server --socket`. */
const SERVER_SOCKET = "/run/berth/server.sock";

/** Runs a command line (without the program name) and returns the exit code. */
export async function run(argv: readonly string[], processCli: Cli): Promise<number> {
  const cli: Cli = {
    ...processCli,
    stdout: safeTerminal(processCli.stdout),
    stderr: safeTerminal(processCli.stderr),
  };
  const [first = ""] = argv;
  // Commander's own help command supports one level of subcommands only.
  if (first === "help") return run([...argv.slice(1), "--help"], cli);
  const subprogram = Object.hasOwn(SUBPROGRAMS, first) ? SUBPROGRAMS[first] : undefined;
  const isClientCommand = first === "server" && SERVER_CLIENT_COMMANDS.includes(argv[1] ?? "");
  if (subprogram !== undefined && !isClientCommand) return (await subprogram.load()).main(argv.slice(1));
  if (first === "__complete") {
    return (await import("./completion/print-completions.js")).printCompletions(cli, argv.slice(1));
  }
  if (first === "--version" || first === "-v") return printVersion(cli);
  const program = createProgram(cli);
  try {
    await program.parseAsync([...terminateExecOptions(argv, program)], { from: "user" });
    return EXIT_OK;
  } catch (error) {
    // Commander has already printed the help or the usage error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_BAD_INPUT;
    return reportError(error, cli, String(program.opts().output));
  }
}

/** Loads the number only here: commander's own `version()` would need it at start. */
async function printVersion(cli: Cli): Promise<number> {
  const { BERTH_VERSION } = await import("@berth/proto/version");
  cli.stdout.write(`berth ${BERTH_VERSION}\n`);
  return EXIT_OK;
}

/** Runs the command line of this process. bin/berth.js calls it once. */
export async function main(): Promise<void> {
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort(new InterruptedError("")));
  for (const stream of [process.stdout, process.stderr]) stream.on("error", exitOnBrokenPipe);
  process.exitCode = await run(process.argv.slice(2), {
    stdout: createTerminal(process.stdout),
    stderr: createTerminal(process.stderr),
    env: process.env,
    cwd: process.cwd(),
    homeDirectory: homedir(),
    serverSocket: SERVER_SOCKET,
    readSecret: (source) => readSecretInput(source, interrupt.signal),
    readStdin: () => readBounded(process.stdin),
    streams: standardStreams(),
    signal: interrupt.signal,
    now: Date.now,
  });
}

async function readSecretInput(source: SecretSource, signal: AbortSignal): Promise<string> {
  const [{ readSecret }, { isBerthError }] = await Promise.all([
    import("@berth/proto/terminal"),
    import("@berth/proto/errors"),
  ]);
  const { stdin, stderr } = process;
  try {
    return await readSecret(source, { stdin, stderr }, signal);
  } catch (error) {
    // While the terminal does not echo, Ctrl-C arrives as a key.
    if (isBerthError(error, "BERTH_CANCELLED")) throw new InterruptedError(error.message);
    throw error;
  }
}

function createTerminal(stream: NodeJS.WriteStream): Terminal {
  return {
    write: (text) => stream.write(text),
    writeRaw: (text) => stream.write(text),
    isTty: stream.isTTY === true,
    get columns() {
      // A terminal without a size reports 0.
      return stream.columns || DEFAULT_COLUMNS;
    },
  };
}

/** Exits when the reader of the output has closed the pipe, as in `berth … | head`. */
function exitOnBrokenPipe(error: NodeJS.ErrnoException): void {
  process.exit(error.code === "EPIPE" ? EXIT_BROKEN_PIPE : EXIT_FAILED);
}
