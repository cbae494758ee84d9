// Unpacks the Docker of another Debian release into a directory, which the lab mounts over its hosts' /usr. Installs
// nothing on this machine and leaves apt's lists and packages unchanged.
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { downloadPackages, run } from "./debian-archives.mjs";
import { ownedDirectory } from "./owned-directory.mjs";
import { SetupError } from "./setup-error.mjs";

const CACHE = "/var/cache/berth-lab";
/** Docker, the programs that it calls, and Compose. apt also downloads their libraries, including the C library. */
const PACKAGES = ["docker.io", "docker-cli", "docker-compose", "iptables", "nftables"];
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
    const archives = downloadPackages(name, workDir, PACKAGES, { hasDependencies: true });
    const root = join(workDir, "root");
    unpack(archives, root);
    // Remove what an interrupted run left behind. If two processes do this at once, the later one wins.
    rmSync(directory, { recursive: true, force: true });
    renameSync(root, directory);
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

function unpack(archives, root) {
  for (const directory of LINKS_INTO_USR) {
    mkdirSync(join(root, "usr", directory), { recursive: true });
    symlinkSync(join("usr", directory), join(root, directory));
  }
  const script = 'for deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$0"; done';
  run("bash", ["-e", "-o", "pipefail", "-c", script, root, ...archives]);
}
