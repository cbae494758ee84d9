import { spawn } from "node:child_process";
import { constants } from "node:os";
import { ensureReady, SetupError } from "../setup.mjs";

/**
 * Makes the machine ready, then runs a TypeScript program on this terminal and ends with its exit code.
 *
 * @param {{ name: string, main: string, args: readonly string[], needs: Parameters<typeof ensureReady>[0] }} program
 *   `name` begins error lines; `main` is the program's file; `needs` goes to `ensureReady`
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

/** Ctrl-C reaches the program itself through the terminal; here it is waited for, so that it can clean up. */
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
