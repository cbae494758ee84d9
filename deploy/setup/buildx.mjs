// Fetches Docker's Buildx plugin, which Debian has from trixie on. Installs nothing on this machine.
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { downloadPackages, run } from "./debian-archives.mjs";
import { ownedDirectory } from "./owned-directory.mjs";

const CACHE = "/var/cache/berth-lab";
const RELEASE = "trixie";
const PACKAGE = "docker-buildx";
/** Where the package has its plugin. */
const PLUGIN = "usr/libexec/docker/cli-plugins/docker-buildx";

/**
 * Returns a configuration directory of Docker (`$DOCKER_CONFIG`) with the plugin. Fetches the plugin unless it is cached.
 *
 * @returns {string}
 * @throws {import("./setup-error.mjs").SetupError} when apt cannot fetch it
 */
export function ensureBuildx() {
  const directory = join(CACHE, "buildx");
  if (existsSync(join(directory, "cli-plugins/docker-buildx"))) return directory;
  console.error(`setup: fetching ${PACKAGE} of Debian ${RELEASE} into ${directory} (without installing it)`);
  const workDir = ownedDirectory(CACHE, ".new-");
  try {
    const [archive = ""] = downloadPackages(RELEASE, workDir, [PACKAGE], { hasDependencies: false });
    const root = join(workDir, "root");
    mkdirSync(root);
    run("dpkg-deb", ["--extract", archive, root]);
    const config = join(workDir, "config");
    mkdirSync(join(config, "cli-plugins"), { recursive: true });
    renameSync(join(root, PLUGIN), join(config, "cli-plugins/docker-buildx"));
    rmSync(directory, { recursive: true, force: true });
    renameSync(config, directory);
    return directory;
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}
