// Part of `npm run setup`: installs missing Debian packages. A package counts as installed if its programs exist.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SetupError } from "./setup-error.mjs";

/** All packages that setup can install, with the programs or files that they provide and their purpose. */
const PACKAGES = {
  "docker.io": { programs: ["dockerd", "docker", "docker-init"], why: "the lab's Docker hosts" },
  "etcd-server": { programs: ["etcd"], why: "the control plane's store" },
  "etcd-client": { programs: ["etcdctl"], why: "inspecting etcd" },
  iproute2: { programs: ["ip"], why: "the lab's network" },
  "iputils-ping": { programs: ["ping"], why: "berth doctor's MTU check" },
  iptables: { programs: ["iptables"], why: "Docker's published ports" },
  nftables: { programs: ["nft"], why: "load balancing in the kernel" },
  "openssh-server": { programs: ["sshd"], why: "tests: adding hosts over ssh" },
  conntrack: { programs: ["conntrack"], why: "inspecting connections" },
  "busybox-static": { programs: ["busybox"], why: "the example images" },
  "redis-server": { programs: ["redis-server", "redis-cli"], why: "the example images" },
  "docker-registry": { programs: ["docker-registry"], why: "tests and benchmarks: image registry" },
  haproxy: { programs: ["haproxy"], why: "benchmarks and Compose stacks: proxy" },
  "libnginx-mod-stream": {
    files: ["/usr/lib/nginx/modules/ngx_stream_module.so"],
    why: "benchmarks: nginx as a TCP proxy",
  },
  "nginx-light": { programs: ["nginx"], why: "benchmarks and Compose stacks: HTTP server" },
  postgresql: { programs: ["pg_ctlcluster"], why: "Compose stacks: database" },
  prometheus: { programs: ["prometheus"], why: "Compose stacks: monitoring" },
  time: { programs: ["time"], why: "benchmarks: memory use of programs" },
  wrk: { programs: ["wrk"], why: "benchmarks: HTTP load generator" },
  "qemu-system-x86": { programs: ["qemu-system-x86_64"], why: "virtual machines with Debian's kernel" },
  "qemu-utils": { programs: ["qemu-img"], why: "disks of virtual machines" },
  mmdebstrap: { programs: ["mmdebstrap"], why: "the image of virtual machines" },
  e2fsprogs: { programs: ["mke2fs"], why: "disks of virtual machines" },
  "openssh-client": { programs: ["ssh", "ssh-keygen"], why: "commands on virtual machines" },
  kmod: { programs: ["depmod", "modprobe"], why: "modules of Debian's kernel" },
  "wireguard-tools": { programs: ["wg"], why: "encrypted networks" },
  "wireguard-go": { programs: ["wireguard-go"], why: "encrypted networks where the kernel has no WireGuard" },
  chromium: { programs: ["chromium"], why: "tests of the web UI" },
  tcpdump: { programs: ["tcpdump"], why: "tests: captures packets" },
};

const SBIN = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
const POLICY_FILE = "/usr/sbin/policy-rc.d";
const POLICY =
  "#!/bin/sh\n# Created by berth's setup to keep packages from starting services. Safe to remove.\nexit 101\n";

/** Installs each package that lacks one of its programs or files. */
export function ensurePackages(packages) {
  const missing = packages.filter((name) => findMissing(name).length > 0);
  if (missing.length === 0) return;
  const list = missing.map((name) => `  ${name} (${findMissing(name).join(", ")}): ${PACKAGES[name].why}`);
  if (!existsSync("/etc/debian_version")) {
    throw new SetupError(`missing programs; setup can install them on Debian only:\n${list.join("\n")}`);
  }
  const command = `apt-get install --no-install-recommends ${missing.join(" ")}`;
  if (process.getuid?.() !== 0) {
    throw new SetupError(
      `missing Debian packages:\n${list.join("\n")}\nto install them, run as root: ${command}`,
    );
  }
  console.error(`setup: installing Debian packages (without starting services)\n${list.join("\n")}`);
  withoutStartingServices(() => install(missing));
  const stillMissing = missing.flatMap(findMissing);
  if (stillMissing.length > 0) {
    throw new SetupError(`not found after installing the packages: ${stillMissing.join(", ")}`);
  }
}

/** Returns the programs and files of a package that are missing on this machine. */
function findMissing(name) {
  const contents = PACKAGES[name];
  if (!contents)
    throw new SetupError(`unknown package ${name} (known packages: ${Object.keys(PACKAGES).join(", ")})`);
  const directories = [...(process.env.PATH ?? "").split(":"), ...SBIN];
  const { programs = [], files = [] } = contents;
  return [
    ...programs.filter((program) => !directories.some((directory) => isExecutable(join(directory, program)))),
    ...files.filter((file) => !existsSync(file)),
  ];
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Installs packages. If that fails, refreshes the package lists, which may be missing or outdated, and retries once.
 */
function install(packages) {
  if (aptInstall(packages) === 0) return;
  console.error("setup: refreshing the package lists (apt-get update)");
  apt(["update", "--quiet"]);
  if (aptInstall(packages) !== 0) throw new SetupError("apt-get install failed: see its output above");
}

function aptInstall(packages) {
  return apt(["install", "--yes", "--quiet", "--no-install-recommends", ...withDockerCli(packages)]);
}

/** Adds docker-cli if apt knows it: since Debian 13, the `docker` command is in a package of its own. */
function withDockerCli(packages) {
  if (!packages.includes("docker.io")) return packages;
  const exists = spawnSync("apt-cache", ["show", "docker-cli"], { stdio: "ignore" }).status === 0;
  return exists ? [...packages, "docker-cli"] : packages;
}

/** Runs apt-get and returns its exit code. */
function apt(args) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return spawnSync("apt-get", args, { env, stdio: ["ignore", 2, 2] }).status;
}

/** Runs `action` with a policy that keeps packages from starting services. Restores the previous policy afterwards. */
function withoutStartingServices(action) {
  const previous = existsSync(POLICY_FILE) ? readFileSync(POLICY_FILE, "utf8") : POLICY;
  writeFileSync(POLICY_FILE, POLICY, { mode: 0o755 });
  try {
    action();
  } finally {
    // An interrupted run may have left this policy behind.
    if (previous === POLICY) rmSync(POLICY_FILE, { force: true });
    else writeFileSync(POLICY_FILE, previous);
  }
}
