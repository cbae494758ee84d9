// `npm run lab -- …`: makes the machine ready, then hands over to deploy/lab/main.ts.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { ensureReady, LAB_PACKAGES, SetupError } from "./setup.mjs";

const MAIN = fileURLToPath(new URL("lab/main.ts", import.meta.url));

try {
  const args = process.argv.slice(2);
  const isHelp = args.length === 0 || args.includes("--help") || args.includes("-h");
  // Reading about the lab needs no Docker and no root.
  ensureReady(isHelp ? { packages: [], build: false } : { packages: LAB_PACKAGES });
  process.exitCode = await runToEnd(["--import", "tsx", MAIN, ...args]);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`lab: ${error.message}`);
  process.exitCode = 1;
}

/** Ctrl-C reaches the lab itself through the terminal; here it is waited for, so that it can clean up. */
function runToEnd(args) {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => signal !== "SIGINT" && child.kill(signal));
  }
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}
