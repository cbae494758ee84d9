import { tmpdir } from "node:os";
import { REPO_ROOT } from "../../deploy/lab/paths.js";
import { fetchKernel } from "../../deploy/lab/vm/debian-kernel.js";
import { HELP, parseArguments, pathProblem } from "./arguments.js";
import { runMachine } from "./run-machine.js";

const EXIT_FAILED = 1;
const EXIT_BAD_USAGE = 2;
const EXIT_INTERRUPTED = 130;

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => interrupt.abort(new Error(`interrupted by ${signal}`)));
}

const parsed = parseArguments(process.argv.slice(2));
switch (parsed.kind) {
  case "help":
    console.log(HELP);
    break;
  case "invalid":
    console.error(`vm: ${parsed.message}\n${HELP}`);
    process.exitCode = EXIT_BAD_USAGE;
    break;
  case "run":
    try {
      if (process.getuid?.() !== 0)
        throw new Error(
          "must run as root: the emulated machine reads all files of this machine; run it with sudo",
        );
      const problem = pathProblem({ checkout: REPO_ROOT, temporary: tmpdir() });
      if (problem !== undefined) throw new Error(problem);
      const kernel = await fetchKernel(interrupt.signal);
      process.exitCode = await runMachine(kernel, parsed.options, interrupt.signal);
    } catch (error) {
      console.error(`vm: ${error instanceof Error ? error.message : String(error)}`);
      process.exitCode = interrupt.signal.aborted ? EXIT_INTERRUPTED : EXIT_FAILED;
    }
}
