// Unpacks the Docker of another Debian release into a directory, which the lab mounts over its hosts' /usr. Installs
// nothing on this machine and leaves apt's lists and packages unchanged.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { debianMirror } from "./debian-mirror.mjs";
import { ownedDirectory } from "./owned-directory.mjs";
import { SetupError } from "./setup-error.mjs";

const CACHE = "/var/cache/berth-lab";
/** Docker, the programs that it calls, and Compose. apt also downloads their libraries, including the C library. */
const PACKAGES = ["docker.io", "docker-cli", "docker-compose", "iptables", "nftables"];
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
/** Directories that are links into /usr on Debian. Some packages still contain files below them. */
const LINKS_INTO_USR = ["bin", "sbin", "lib", "lib64"];

/**
 * Returns the directory for another Docker, whether or not it exists yet.
 *
 * @param {string} name a Debian release (`trixie`, `sid`), or a directory with `usr/sbin/dockerd` and its dependencies
 */
export function otherDockerDirectory(name) {
  return isAbsolute(name) ? name : join(CACHE, name);
}

/**
 * Returns whether a directory contains Docker.
 *
 * @param {string} directory
 */
export function hasDocker(directory) {
  return existsSync(join(directory, "usr/sbin/dockerd"));
}

/**
 * Downloads the Docker of a Debian release unless it is cached.
 *
 * @param {string} name as for {@link otherDockerDirectory}
 * @throws {SetupError} if the name is invalid or the download fails
 */
export function ensureOtherDocker(name) {
  const directory = otherDockerDirectory(name);
  if (hasDocker(directory)) return;
  if (!/^[a-z]+$/.test(name)) {
    throw new SetupError(
      `BERTH_LAB_DOCKER: ${name} is neither a Debian release nor a directory with usr/sbin/dockerd`,
    );
  }
  console.error(`setup: downloading the Docker of Debian ${name} into ${directory} (not installing it)`);
  const workDir = ownedDirectory(CACHE, ".new-");
  try {
    const archives = download(name, workDir);
    const root = join(workDir, "root");
    unpack(archives, root);
    // Remove what an interrupted run left behind. If two processes do this at once, the later one wins.
    rmSync(directory, { recursive: true, force: true });
    renameSync(root, directory);
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

/**
 * Downloads and verifies the packages and all their dependencies with apt. Returns the paths of the archives. Uses
 * separate apt directories, so that apt considers nothing installed and downloads every dependency.
 */
function download(release, workDir) {
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
  run("apt-get", [
    ...options,
    ...["install", "-qq", "--yes", "--download-only", "--no-install-recommends"],
    ...PACKAGES,
  ]);
  const archives = join(workDir, "cache/archives");
  return readdirSync(archives)
    .filter((name) => name.endsWith(".deb"))
    .map((name) => join(archives, name));
}

function unpack(archives, root) {
  for (const directory of LINKS_INTO_USR) {
    mkdirSync(join(root, "usr", directory), { recursive: true });
    symlinkSync(join("usr", directory), join(root, directory));
  }
  const script = 'for deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$0"; done';
  run("bash", ["-e", "-o", "pipefail", "-c", script, root, ...archives]);
}

function run(program, args) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const { status } = spawnSync(program, args, { env, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new SetupError(`${program} failed: see its output above`);
}
