import { HELP, parseCommand } from "./cli/parse-command.js";
import { runCommand } from "./cli/run-command.js";
import { LabError } from "./lab-error.js";

const EXIT_FAILED = 1;
const EXIT_BAD_USAGE = 2;
const EXIT_INTERRUPTED = 130;

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => interrupt.abort(new Error(`interrupted by ${signal}`)));
}

// `lab up | head` closes the pipe early. The command still completes.
process.stdout.on("error", () => undefined);

try {
  const command = parseCommand(process.argv.slice(2));
  if (command.kind === "help") {
    console.log(HELP);
  } else {
    process.exitCode = await runCommand(command, interrupt.signal);
  }
} catch (error) {
  console.error(`lab: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = getExitCode(error);
}

function getExitCode(error: unknown): number {
  if (interrupt.signal.aborted) return EXIT_INTERRUPTED;
  if (!(error instanceof LabError)) return EXIT_FAILED;
  return error.code === "LAB_BAD_USAGE" ? EXIT_BAD_USAGE : EXIT_FAILED;
}
