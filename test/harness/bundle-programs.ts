// Runs once before the integration and e2e tests: bundles the compiled packages for the processes that tests start.
// Bundling saves 40 % of the CPU time of starting a server or an agent, which dominates the cost of many tests. Node.js
// also keeps compiled code: that saves another 10 % for a server, and 20 % for a command of the CLI.
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { BUNDLE_VARIABLE, PROGRAM } from "../../deploy/lab/berth-commands.js";
import { REPO_ROOT } from "../../deploy/lab/paths.js";
import { writeBundle } from "../../deploy/package/bundle.js";
import { temporaryDirectory } from "./temporary-directory.js";

/** Writes the bundle and passes its directory to the test processes. The returned function removes the bundle. */
export async function setup(): Promise<(() => void) | undefined> {
  // Each Vitest project of a run calls this function.
  if (process.env[BUNDLE_VARIABLE]) return undefined;
  const directory = temporaryDirectory();
  // Agents run the ingress process as a user of its own, which reads the bundle.
  chmodSync(directory, 0o755);
  await writeBundle(REPO_ROOT, dirname(join(directory, PROGRAM)));
  process.env[BUNDLE_VARIABLE] = directory;
  const cache = join(directory, "compile-cache");
  mkdirSync(cache);
  // Each user of the machine keeps its own code there.
  chmodSync(cache, 0o1777);
  process.env.NODE_COMPILE_CACHE = cache;
  // A process that exits may write to the cache meanwhile.
  return () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}
