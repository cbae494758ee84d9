import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BUNDLE_VARIABLE, PROGRAM } from "../../deploy/lab/berth-commands.js";
import { REPO_ROOT } from "../../deploy/lab/paths.js";
import { writeBundle } from "../../deploy/package/bundle.js";

/**
 * Returns the path of the bundled CLI, as in the packages. Writes the bundle into `directory`, unless the test run of
 * this benchmark has a bundle already.
 */
export async function bundledProgram(directory: string): Promise<string> {
  const bundle = process.env[BUNDLE_VARIABLE];
  if (bundle) return join(bundle, PROGRAM);
  await writeBundle(REPO_ROOT, directory);
  await writeFile(join(directory, "package.json"), '{ "type": "module" }\n');
  return join(directory, "berth.js");
}
