// `npm test`: installs what is missing, runs the static checks, then all tests. Arguments are passed to vitest, as in
// `npm test -- --project unit`; the static checks are then skipped.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { ensureReady, SetupError, TEST_PACKAGES } from "../deploy/setup.mjs";

const REPO_ROOT = fileURLToPath(new URL("..", import.meta.url));
const VITEST = join(REPO_ROOT, "node_modules/vitest/vitest.mjs");
const REMOVE_LEFTOVERS = join(REPO_ROOT, "test/harness/remove-leftovers.ts");
/**
 * Cache of the packages' Node.js. Outside of the checkout, since the user of the ingress process cannot read a checkout
 * below /root.
 */
const NODE_CACHE = "/var/cache/berth-node";
const EXIT_INTERRUPTED = 130;
/** Number of lines of each failure that the summary repeats. */
const FAILURE_LINES = 12;

/** npm scripts that check the code without running it, fastest first. */
const STATIC_CHECKS = ["lint", "gen:check", "typecheck"];

/**
 * Arguments of the Vitest runs, fastest first. The simulation is one file, so it shares a run with the unit tests.
 * Integration and e2e tests wait for part of their time, so more of them run in parallel than there are processors.
 * With even more, benchmarks time out.
 */
const RUNS = [
  ["--project", "unit", "--project", "sim", "--maxWorkers=2"],
  ["--project", "integration", "--project", "e2e", "--maxWorkers=4"],
];

/**
 * Multiplier of the time limits of tests. Four test files run in parallel, beside whatever else the machine does, and a
 * limit costs no time when a test passes.
 */
const TIMEOUT_SCALE = "3";

let running;
let isInterrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    isInterrupted = true;
    signalGroup(signal);
  });
}

/** Signals the running program and its descendants, because Vitest does not forward signals to its workers. */
function signalGroup(signal) {
  try {
    if (running?.pid !== undefined) process.kill(-running.pid, signal);
  } catch {
    // All processes of the group have exited.
  }
}

/** Runs a program in its own process group and returns whether it succeeded. Does nothing after an interrupt. */
async function run(command, args) {
  if (isInterrupted) return false;
  running = spawn(command, args, {
    cwd: REPO_ROOT,
    env: { BERTH_TEST_TIMEOUT_SCALE: TIMEOUT_SCALE, ...process.env },
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
  });
  const [code] = await once(running, "exit");
  // Workers that are still alive would create more labs and processes.
  signalGroup("SIGKILL");
  return code === 0;
}

function noResults() {
  return { passed: 0, failed: 0, skipped: 0, failures: [] };
}

async function runChecks() {
  const total = noResults();
  for (const name of STATIC_CHECKS) {
    console.log(`\n── ${name}`);
    const ok = await run("npm", ["run", "--silent", name]);
    total[ok ? "passed" : "failed"] += 1;
    if (!ok) total.failures.push(`npm run ${name}`);
  }
  return total;
}

/**
 * Returns the path of the Node.js of the packages, and downloads it the first time. Users run this release, and tests
 * need 15 to 45 percent less CPU time than under Node.js 20. If it cannot be downloaded or run, returns the path of
 * this process's Node.js.
 */
async function findPackagedNode() {
  try {
    const { tsImport } = await import("tsx/esm/api");
    const release = await tsImport("../deploy/package/node-release.ts", import.meta.url);
    const { executable } = await release.fetchNode(release.NATIVE_ARCHITECTURE, NODE_CACHE);
    execFileSync(executable, ["--version"]);
    return executable;
  } catch (error) {
    console.log(`\ncannot use the Node.js of the packages: ${error.message}; using ${process.version}`);
    return process.execPath;
  }
}

async function runVitest(node, args, report) {
  console.log(`\n── vitest ${args.join(" ")}`);
  const ok = await run(node, [
    VITEST,
    "run",
    ...args,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ]);
  return { ok, ...readReport(report, ok) };
}

/**
 * Returns the counts and failures of a run. A file that cannot be loaded contains no failed test, but counts as one.
 */
function readReport(report, ok) {
  try {
    const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(
      readFileSync(report, "utf8"),
    );
    const failures = testResults.flatMap(failuresOfFile);
    if (!ok && failures.length === 0) failures.push("an error outside of the tests, see above");
    return {
      passed: numPassedTests,
      failed: ok ? numFailedTests : Math.max(1, numFailedTests),
      skipped: numPendingTests,
      failures,
    };
  } catch (error) {
    const failures = ok ? [] : [`no report (${error.message})`];
    return { passed: 0, failed: 1, skipped: 0, failures };
  }
}

/** Returns a line for each failed test of a file, or for the file itself if it could not be loaded or a hook failed. */
function failuresOfFile({ name, status, message, assertionResults }) {
  const file = relative(REPO_ROOT, name);
  const failed = assertionResults.filter((test) => test.status === "failed");
  if (failed.length === 0) return status === "failed" ? [`${file}: ${message}`] : [];
  return failed.map((test) => `${file} > ${test.fullName}: ${test.failureMessages[0]}`);
}

/** Returns the first lines of a failure, without colors. */
function summarize(failure) {
  return stripVTControlCharacters(failure).split("\n").slice(0, FAILURE_LINES).join("\n");
}

async function main(extra) {
  ensureReady({ packages: TEST_PACKAGES });
  const directory = mkdtempSync(join(tmpdir(), "berth-test-"));
  try {
    const total = extra.length > 0 ? noResults() : await runChecks();
    const runs = extra.length > 0 ? [extra] : RUNS;
    const node = await findPackagedNode();
    for (const [index, args] of runs.entries()) {
      if (isInterrupted) break;
      const report = join(directory, `${index}.json`);
      const { passed, failed, skipped, failures } = await runVitest(node, args, report);
      total.passed += passed;
      total.failed += failed;
      total.skipped += skipped;
      total.failures.push(...failures);
    }
    // The output of the first runs is far above, so repeat all failures at the end.
    for (const failure of total.failures) console.log(`\nfailed: ${summarize(failure)}`);
    // Continuous integration reads the last line.
    if (total.skipped > 0) console.log(`\n${total.skipped} skipped`);
    console.log(`\n${total.passed} passed, ${total.failed} failed`);
    if (isInterrupted) return EXIT_INTERRUPTED;
    return total.failed === 0 && total.passed > 0 ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
    // A killed or interrupted test process leaves its labs and etcds running.
    spawnSync(process.execPath, ["--import", "tsx", REMOVE_LEFTOVERS], { cwd: REPO_ROOT, stdio: "inherit" });
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
