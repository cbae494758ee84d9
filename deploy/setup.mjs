// `npm run setup`: checks the Node.js version, installs npm and Debian packages, and compiles the code. The lab, the
// demo and the tests call it before they start. Plain JavaScript without dependencies, because it runs before `npm ci`.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureBuilt } from "./setup/build.mjs";
import { ensurePackages } from "./setup/debian.mjs";
import { ensureOtherDocker } from "./setup/other-docker.mjs";
import { SetupError } from "./setup/setup-error.mjs";

export { SetupError };

const REPO_ROOT = fileURLToPath(new URL("..", import.meta.url));
const MIN_NODE = [20, 19];

/** Debian packages that the lab, the demo and the e2e tests need. */
export const LAB_PACKAGES = [
  "docker.io",
  "etcd-server",
  "etcd-client",
  "iproute2",
  "iputils-ping",
  "iptables",
  "nftables",
  "conntrack",
  "busybox-static",
  "redis-server",
  "wireguard-tools",
  "wireguard-go",
  "tcpdump",
];

/** Debian packages that the tests need. */
export const TEST_PACKAGES = [...LAB_PACKAGES, "openssh-server", "chromium"];

/** Debian packages that the benchmarks need. berth is compared with some of these programs. */
export const BENCH_PACKAGES = [
  ...LAB_PACKAGES,
  "docker-registry",
  "haproxy",
  "nginx-light",
  "libnginx-mod-stream",
  "time",
  "wrk",
];

/** Debian packages that the emulated machine with Debian's kernel needs. */
export const VM_PACKAGES = [...LAB_PACKAGES, "qemu-system-x86", "kmod"];

/** Debian packages that a lab of virtual machines needs. */
export const VM_LAB_PACKAGES = [...VM_PACKAGES, "qemu-utils", "mmdebstrap", "e2fsprogs", "openssh-client"];

/**
 * Installs and compiles whatever is missing. Takes milliseconds if nothing is.
 *
 * @param {{ packages?: readonly string[], build?: boolean }} options Debian packages to install; `build: false` skips
 *   compiling
 * @throws {SetupError} if something is missing that setup cannot install
 */
export function ensureReady({ packages = [], build = true } = {}) {
  ensureNode();
  ensureNodeModules();
  ensurePackages(packages);
  const docker = process.env.BERTH_LAB_DOCKER;
  if (docker && packages.includes("docker.io")) ensureOtherDocker(docker);
  if (build) ensureBuilt(REPO_ROOT);
}

function ensureNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const [minMajor, minMinor] = MIN_NODE;
  if (major > minMajor || (major === minMajor && minor >= minMinor)) return;
  throw new SetupError(`Node.js ${process.versions.node} is too old: install ${MIN_NODE.join(".")} or newer`);
}

function ensureNodeModules() {
  if (isInstalled(readLock("package-lock.json"), readLock("node_modules/.package-lock.json"))) return;
  console.error("setup: installing npm packages (npm ci)");
  const { status } = spawnSync("npm", ["ci"], { cwd: REPO_ROOT, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new SetupError("npm ci failed: see its output above");
}

/** Returns the packages of a lock file, or undefined if the file does not exist. */
function readLock(path) {
  const file = join(REPO_ROOT, path);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).packages : undefined;
}

/** Returns whether all locked packages are installed. npm skips optional packages for other platforms. */
function isInstalled(locked, installed) {
  if (!installed) return false;
  return Object.entries(locked).every(
    ([path, { version, link, optional }]) =>
      !path.startsWith("node_modules/") || link || optional || installed[path]?.version === version,
  );
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    ensureReady({ packages: LAB_PACKAGES });
    console.log("setup: ready");
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`setup: ${error.message}`);
    process.exitCode = 1;
  }
}
