// `npm test`: makes a fresh clone ready, checks the code without running it, then runs every test.
// `npm test -- --project unit` and other options go to vitest, and leave the static checks out.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureReady, LAB_PACKAGES, SetupError } from "../deploy/setup.mjs";

const REPO_ROOT = fileURLToPath(new URL("..", import.meta.url));

/** npm scripts that find faults without running anything; cheap ones first. */
const STATIC_CHECKS = ["lint", "gen:check", "typecheck"];

/** In this order, one after the other: later ones take longer and mean less when earlier ones fail. */
const PROJECTS = ["unit", "sim", "integration", "e2e"];

/** Integration tests mostly wait, each for its own servers: more of them than processors go side by side. */
const OPTIONS = { integration: ["--maxWorkers=3"] };

let running;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => running?.kill(signal));

function run(command, args) {
  return new Promise((resolve) => {
    running = spawn(command, args, { cwd: REPO_ROOT, stdio: ["ignore", "inherit", "inherit"] });
    running.on("exit", (code, signal) =>
      resolve({ ok: code === 0, interrupted: signal !== null || code === 130 }),
    );
  });
}

async function runChecks() {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const name of STATIC_CHECKS) {
    console.log(`\n── ${name}`);
    const { ok } = await run("npm", ["run", "--silent", name]);
    total[ok ? "passed" : "failed"] += 1;
  }
  return total;
}

async function runVitest(args, report) {
  console.log(`\n── vitest ${args.join(" ")}`);
  const { ok } = await run("npx", [
    "vitest",
    "run",
    ...args,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ]);
  return { ok, ...readReport(report, ok) };
}

/** A test file that could not even be loaded has no failed test, but the run failed: it counts as one. */
function readReport(report, ok) {
  try {
    const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, "utf8"));
    return {
      passed: numPassedTests,
      failed: ok ? numFailedTests : Math.max(1, numFailedTests),
      skipped: numPendingTests,
    };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

async function main(extra) {
  ensureReady({ packages: LAB_PACKAGES });
  const folder = mkdtempSync(join(tmpdir(), "berth-test-"));
  try {
    const total = extra.length > 0 ? { passed: 0, failed: 0, skipped: 0 } : await runChecks();
    const runs =
      extra.length > 0
        ? [extra]
        : PROJECTS.map((project) => ["--project", project, ...(OPTIONS[project] ?? [])]);
    for (const [index, args] of runs.entries()) {
      const { passed, failed, skipped } = await runVitest(args, join(folder, `${index}.json`));
      total.passed += passed;
      total.failed += failed;
      total.skipped += skipped;
    }
    console.log(
      `\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`,
    );
    return total.failed === 0 && total.passed > 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
