// Makes a fresh clone on a fresh machine ready: Node's version, npm packages, Debian packages, compiled code.
// Plain JavaScript without dependencies: it runs before anything is installed. `npm run setup` runs it alone.
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
const MINIMAL_NODE = [20, 19];

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

/** Those of the benchmarks: what berth is measured against, and with. */
export const BENCH_PACKAGES = [
  ...LAB_PACKAGES,
  "docker-registry",
  "haproxy",
  "nginx-light",
  "libnginx-mod-stream",
  "wrk",
];

/** Those of the emulated machine with Debian's own kernel. */
export const VM_PACKAGES = [...LAB_PACKAGES, "qemu-system-x86", "kmod"];

/**
 * Returns when everything is there; takes some milliseconds when it was.
 *
 * @param {{ packages?: readonly string[], build?: boolean }} options names of Debian packages; `build: false` compiles nothing
 * @throws {SetupError} with what is missing and what to do about it
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
  const [wantedMajor, wantedMinor] = MINIMAL_NODE;
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return;
  throw new SetupError(
    `berth needs Node.js ${MINIMAL_NODE.join(".")} or newer; this is ${process.versions.node}`,
  );
}

function ensureNodeModules() {
  if (isInstalled(readLock("package-lock.json"), readLock("node_modules/.package-lock.json"))) return;
  console.error("setup: installing npm packages (npm ci)");
  const { status } = spawnSync("npm", ["ci"], { cwd: REPO_ROOT, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new SetupError("npm ci failed; its output above says why");
}

function readLock(path) {
  const file = join(REPO_ROOT, path);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).packages : undefined;
}

/** npm leaves out optional packages made for other platforms. */
function isInstalled(wanted, installed) {
  if (!installed) return false;
  return Object.entries(wanted).every(
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
