// `npm run test:upgrade -- v0.1.0`: upgrades a lab from another release to this checkout and downgrades it again.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureReady, LAB_PACKAGES, SetupError } from "../deploy/setup.mjs";

const REPO_ROOT = fileURLToPath(new URL("..", import.meta.url));

const USAGE = `usage: npm run test:upgrade [-- COMMIT]

Builds the previous release, upgrades a lab from it under load, and downgrades the lab again. The previous release is
the commit in test/upgrade/previous-release.json, or COMMIT: a tag, a branch or a hash.

examples:
  npm run test:upgrade
  npm run test:upgrade -- v0.1.0
`;

/** Returns the exit code. */
function main() {
  const { values, positionals } = parseArgs({
    options: { help: { type: "boolean", short: "h", default: false } },
    allowPositionals: true,
  });
  const [commit = "", ...others] = positionals;
  if (values.help || others.length > 0) {
    process[values.help ? "stdout" : "stderr"].write(USAGE);
    return values.help ? 0 : 2;
  }
  ensureReady({ packages: LAB_PACKAGES });
  const { status } = spawnSync(
    process.execPath,
    [
      join(REPO_ROOT, "node_modules/vitest/vitest.mjs"),
      "run",
      "--project",
      "e2e",
      "test/e2e/upgrade.test.ts",
    ],
    { cwd: REPO_ROOT, stdio: "inherit", env: { ...process.env, BERTH_PREVIOUS: commit } },
  );
  return status ?? 1;
}

try {
  process.exitCode = main();
} catch (error) {
  if (!(error instanceof SetupError) && error?.code !== "ERR_PARSE_ARGS_UNKNOWN_OPTION") throw error;
  console.error(`test:upgrade: ${error.message}`);
  process.exitCode = 1;
}
