import { spawn } from "node:child_process";
import { constants } from "node:os";
import { ensureReady, SetupError } from "../setup.mjs";

/**
 * Installs what a TypeScript program needs, runs it on this terminal and exits with its exit code.
 *
 * @param {{ name: string, main: string, args: readonly string[], needs: Parameters<typeof ensureReady>[0] }} program
 *   `name` is the prefix of error messages, `main` the program's file, `needs` the argument of `ensureReady`
 */
export async function launch({ name, main, args, needs }) {
  try {
    ensureReady(needs);
    process.exitCode = await runToEnd(["--import", "tsx", main, ...args]);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`${name}: ${error.message}`);
    process.exitCode = 1;
  }
}

/**
 * Runs Node.js and returns its exit code. Does not forward SIGINT, because the terminal also sends Ctrl-C to the child.
 * This process ignores the signal and waits until the child has cleaned up.
 */
function runToEnd(args) {
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => signal !== "SIGINT" && child.kill(signal));
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}
