// Downloads packages of any Debian release with apt. Installs nothing on this machine and leaves apt's lists and packages
// unchanged.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { debianMirror } from "./debian-mirror.mjs";
import { SetupError } from "./setup-error.mjs";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * Downloads and verifies packages. Uses separate apt directories, so that apt considers nothing installed. Returns the paths
 * of the archives.
 *
 * @param {string} release such as "trixie"
 * @param {string} workDir an empty directory
 * @param {readonly string[]} packages
 * @param {{ readonly hasDependencies: boolean }} options whether to download all dependencies as well
 * @throws {SetupError} when apt fails
 */
export function downloadPackages(release, workDir, packages, { hasDependencies }) {
  for (const directory of ["state/lists/partial", "cache/archives/partial"]) {
    mkdirSync(join(workDir, directory), { recursive: true });
  }
  writeFileSync(join(workDir, "status"), "");
  writeFileSync(
    join(workDir, "sources.list"),
    `deb [signed-by=${KEYRING}] ${debianMirror()} ${release} main\n`,
  );
  const aptConfig = {
    "Dir::State": join(workDir, "state"),
    "Dir::State::status": join(workDir, "status"),
    "Dir::Cache": join(workDir, "cache"),
    "Dir::Etc::SourceList": join(workDir, "sources.list"),
    "Dir::Etc::SourceParts": "/dev/null",
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
  };
  const options = Object.entries(aptConfig).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  run("apt-get", [...options, "update", "-qq"]);
  const archives = join(workDir, "cache/archives");
  const action = hasDependencies
    ? ["install", "-qq", "--yes", "--download-only", "--no-install-recommends"]
    : ["download", "-qq"];
  run("apt-get", [...options, ...action, ...packages], { cwd: archives });
  return readdirSync(archives)
    .filter((name) => name.endsWith(".deb"))
    .map((name) => join(archives, name));
}

/**
 * Runs a program, and shows its output on stderr.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ readonly cwd?: string }} [options]
 * @throws {SetupError} when the program fails
 */
export function run(program, args, { cwd } = {}) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const { status } = spawnSync(program, args, { env, cwd, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new SetupError(`${program} failed: see its output above`);
}
