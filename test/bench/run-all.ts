// `npm run bench -- all`: runs benchmarks one after another and stores their reports.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { REPO_ROOT } from "../../deploy/lab/paths.js";
import { FIGURES_DIR, updateReadme } from "./figure-table.js";

const USAGE = `usage: npm run bench -- all [NAME...] [--runs N] [--smoke] [--update-docs]

  NAME           run only these benchmarks
    --runs N       number of measurements per figure
  --smoke        use the smallest sizes, which only show that the benchmarks work
  --update-docs  store the reports in docs/figures instead of bench-results, and update the table in README.md`;

const BENCH_DIR = fileURLToPath(new URL(".", import.meta.url));
const RESULTS_DIR = join(REPO_ROOT, "bench-results");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string" },
    smoke: { type: "boolean", default: false },
    "update-docs": { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});

async function main(): Promise<number> {
  const known = readdirSync(BENCH_DIR).filter((name) => existsSync(join(BENCH_DIR, name, "main.ts")));
  const unknown = positionals.find((name) => !known.includes(name));
  const updatesDocs = values["update-docs"];
  if (unknown !== undefined || (updatesDocs && values.smoke)) {
    const problem =
      unknown === undefined ? "--update-docs needs full runs, not --smoke" : `unknown benchmark "${unknown}"`;
    console.error(`bench: ${problem}\n${USAGE}`);
    return 2;
  }
  const directory = updatesDocs ? FIGURES_DIR : RESULTS_DIR;
  mkdirSync(directory, { recursive: true });
  const failed: string[] = [];
  for (const name of positionals.length === 0 ? known : positionals) {
    const args = ["--json", join(directory, `${name}.json`)];
    if (values.runs !== undefined) args.push("--runs", values.runs);
    if (values.smoke) args.push("--smoke");
    if ((await runOne(name, args)) !== 0) failed.push(name);
    if (isInterrupted) return 130;
  }
  if (updatesDocs) updateReadme();
  if (failed.length > 0) console.error(`bench: failed: ${failed.join(", ")}`);
  return failed.length === 0 ? 0 : 1;
}

let isInterrupted = false;
// The terminal also sends Ctrl-C to the benchmark, which cleans up before it exits.
process.on("SIGINT", () => {
  isInterrupted = true;
});

/** Runs a benchmark and returns its exit code. */
function runOne(name: string, args: readonly string[]): Promise<number> {
  const argv = ["--import", "tsx", join(BENCH_DIR, name, "main.ts"), ...args];
  const child = spawn(process.execPath, argv, { stdio: "inherit" });
  const terminate = (): void => {
    isInterrupted = true;
    child.kill("SIGTERM");
  };
  process.once("SIGTERM", terminate);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => {
      process.off("SIGTERM", terminate);
      resolve(code ?? 1);
    });
  });
}

if (values.help) console.log(USAGE);
else process.exitCode = await main();
