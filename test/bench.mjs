// `npm run bench -- NAME [--json FILE] [--runs N]`: one benchmark a folder in test/bench.
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BENCH_PACKAGES, ensureReady, SetupError } from "../deploy/setup.mjs";

const BENCH_ROOT = fileURLToPath(new URL("bench/", import.meta.url));

function names() {
  return readdirSync(BENCH_ROOT).filter((name) => existsSync(`${BENCH_ROOT}${name}/main.ts`));
}

function usage() {
  return `usage: npm run bench -- NAME [--json FILE] [--runs N]\n\nbenchmarks: ${names().join(", ")}`;
}

function run(name, args) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--import", "tsx", `${BENCH_ROOT}${name}/main.ts`, ...args], {
      stdio: "inherit",
    });
    // The benchmark gets Ctrl-C from the terminal itself; this process waits for its clean-up.
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

async function main([name, ...args]) {
  if (name === undefined || name === "--help") {
    console.log(usage());
    return name === undefined ? 2 : 0;
  }
  if (!names().includes(name)) {
    console.error(`bench: there is no benchmark "${name}"\n${usage()}`);
    return 2;
  }
  ensureReady({ packages: BENCH_PACKAGES });
  return run(name, args);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
