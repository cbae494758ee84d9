// `npm test`: installs what is missing, runs the static checks, then all tests. Arguments are passed to vitest, as in
// `npm test -- --project unit`; the static checks are then skipped.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
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

/** npm scripts that check the code and write files that tests read: generated code and compiled packages. */
const CHECKS_THAT_WRITE = ["gen:check", "typecheck"];

/** npm scripts that check the code and write nothing. */
const CHECKS = ["lint"];

/**
 * Arguments of the run that takes longest. Integration and e2e tests wait for part of their time, so more of them run in
 * parallel than there are processors. With even more, benchmarks time out.
 */
const SYSTEM_TESTS = ["--project", "integration", "--project", "e2e", "--maxWorkers=4"];

/**
 * Arguments of the run beside it, which uses the processor time that the system tests leave. The simulation is one file,
 * so it shares a run with the unit tests.
 */
const UNIT_TESTS = ["--project", "unit", "--project", "sim", "--maxWorkers=1"];

/** The programs that run now. */
const running = new Set();
let isInterrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    isInterrupted = true;
    for (const program of running) signalGroup(program, signal);
  });
}

/** Signals a program and its descendants, because Vitest does not forward signals to its workers. */
function signalGroup({ pid }, signal) {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // All processes of the group have exited.
  }
}

/**
 * Runs a program in its own process group and returns whether it succeeded. Does nothing after an interrupt.
 *
 * @param output "inherit", or the descriptor of a file
 */
async function run(command, args, output = "inherit") {
  if (isInterrupted) return false;
  const program = spawn(command, args, {
    cwd: REPO_ROOT,
    stdio: ["ignore", output, output],
    detached: true,
  });
  running.add(program);
  const [code] = await once(program, "exit");
  running.delete(program);
  // Workers that are still alive would create more labs and processes.
  signalGroup(program, "SIGKILL");
  return code === 0;
}

function noResults() {
  return { passed: 0, failed: 0, skipped: 0, failures: [] };
}

function add(total, { passed, failed, skipped, failures }) {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  total.failures.push(...failures);
}

async function runChecks(names, output) {
  const total = noResults();
  for (const name of names) {
    if (output === undefined) console.log(`\n── ${name}`);
    const ok = await run("npm", ["run", "--silent", name], output);
    total[ok ? "passed" : "failed"] += 1;
    if (!ok) total.failures.push(`npm run ${name}`);
  }
  return total;
}

/** Runs the checks and tests that need only processor time. Prints their output at the end, in one piece. */
async function runBesideSystemTests(node, directory) {
  const total = noResults();
  const log = join(directory, "unit.log");
  const output = openSync(log, "w");
  try {
    add(total, await runChecks(CHECKS, output));
    add(total, await runVitest(node, UNIT_TESTS, { report: join(directory, "unit.json"), output }));
  } finally {
    closeSync(output);
    console.log(`\n── ${CHECKS.join(" ")}, vitest ${UNIT_TESTS.join(" ")}`);
    process.stdout.write(readFileSync(log));
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

async function runVitest(node, args, { report, output }) {
  if (isInterrupted) return noResults();
  if (output === undefined) console.log(`\n── vitest ${args.join(" ")}`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const ok = await run(node, [VITEST, "run", ...args, ...reporters], output);
  return readReport(report, ok);
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
    const total = noResults();
    const report = join(directory, "report.json");
    if (extra.length > 0) add(total, await runVitest(await findPackagedNode(), extra, { report }));
    else {
      add(total, await runChecks(CHECKS_THAT_WRITE));
      const node = await findPackagedNode();
      const results = await Promise.all([
        runVitest(node, SYSTEM_TESTS, { report }),
        runBesideSystemTests(node, directory),
      ]);
      for (const result of results) add(total, result);
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
