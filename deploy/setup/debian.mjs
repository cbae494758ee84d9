// Debian packages: what is missing is found by its program, so that programs installed otherwise count too.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SetupError } from "./setup-error.mjs";

/** Every package that may be asked for: the programs or files it brings, and why they are wanted. */
const PACKAGES = {
  "docker.io": { programs: ["dockerd", "docker", "docker-init"], why: "the lab's Docker hosts" },
  "etcd-server": { programs: ["etcd"], why: "where the control plane keeps its state" },
  "etcd-client": { programs: ["etcdctl"], why: "to look into etcd" },
  iproute2: { programs: ["ip"], why: "the lab's network" },
  "iputils-ping": { programs: ["ping"], why: "berth doctor: how large packets may be" },
  iptables: { programs: ["iptables"], why: "Docker's published ports" },
  nftables: { programs: ["nft"], why: "firewall rules" },
  conntrack: { programs: ["conntrack"], why: "to look at connections" },
  "busybox-static": { programs: ["busybox"], why: "the example images" },
  "redis-server": { programs: ["redis-server", "redis-cli"], why: "the example images" },
  "docker-registry": { programs: ["docker-registry"], why: "benchmarks: images for Docker Swarm" },
  haproxy: { programs: ["haproxy"], why: "benchmarks: the proxy to compare with" },
  "libnginx-mod-stream": {
    files: ["/usr/lib/nginx/modules/ngx_stream_module.so"],
    why: "benchmarks: nginx as a proxy of connections",
  },
  "nginx-light": { programs: ["nginx"], why: "benchmarks: a server to send requests to" },
  wrk: { programs: ["wrk"], why: "benchmarks: sends the requests" },
  "qemu-system-x86": { programs: ["qemu-system-x86_64"], why: "the emulated machine with another kernel" },
  kmod: { programs: ["depmod", "modprobe"], why: "that kernel's modules" },
  "wireguard-tools": { programs: ["wg"], why: "encrypted networks" },
  "wireguard-go": { programs: ["wireguard-go"], why: "encrypted networks where the kernel has no WireGuard" },
  tcpdump: { programs: ["tcpdump"], why: "tests: what goes over the cable" },
};

const SBIN = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
const POLICY_FILE = "/usr/sbin/policy-rc.d";
const POLICY =
  "#!/bin/sh\n# Left by berth's setup: a package must not start its service. Safe to remove.\nexit 101\n";

/** Installs the packages of which something is missing. */
export function ensurePackages(packages) {
  const missing = packages.filter((name) => missingOf(name).length > 0);
  if (missing.length === 0) return;
  const list = missing.map((name) => `  ${name} (${missingOf(name).join(", ")}): ${PACKAGES[name].why}`);
  if (!existsSync("/etc/debian_version")) {
    throw new SetupError(
      `install what has these programs; only Debian's packages are known here:\n${list.join("\n")}`,
    );
  }
  const command = `apt-get install --no-install-recommends ${missing.join(" ")}`;
  if (process.getuid?.() !== 0) {
    throw new SetupError(
      `these Debian packages are missing, and only root can install them:\n${list.join("\n")}\nRun as root: ${command}`,
    );
  }
  console.error(`setup: installing Debian packages (no service is started)\n${list.join("\n")}`);
  withoutStartingServices(() => install(missing));
  const still = missing.flatMap(missingOf);
  if (still.length > 0) throw new SetupError(`installed, but still missing: ${still.join(", ")}`);
}

function missingOf(name) {
  const known = PACKAGES[name];
  if (!known)
    throw new SetupError(
      `no package ${name} is known to setup; it knows ${Object.keys(PACKAGES).join(", ")}`,
    );
  const folders = [...(process.env.PATH ?? "").split(":"), ...SBIN];
  const { programs = [], files = [] } = known;
  return [
    ...programs.filter((program) => !folders.some((folder) => isExecutable(join(folder, program)))),
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

/** Package lists that are old or absent make the first try fail: then they are fetched. */
function install(packages) {
  const args = ["install", "--yes", "--quiet", "--no-install-recommends", ...withDockerCli(packages)];
  if (apt(args) === 0) return;
  console.error("setup: fetching Debian's package lists (apt-get update)");
  apt(["update", "--quiet"]);
  const again = ["install", "--yes", "--quiet", "--no-install-recommends", ...withDockerCli(packages)];
  if (apt(again) !== 0) throw new SetupError("apt-get install failed; its output above says why");
}

/** From Debian 13 on, the docker command is a package of its own. */
function withDockerCli(packages) {
  if (!packages.includes("docker.io")) return packages;
  const exists = spawnSync("apt-cache", ["show", "docker-cli"], { stdio: "ignore" }).status === 0;
  return exists ? [...packages, "docker-cli"] : packages;
}

function apt(args) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return spawnSync("apt-get", args, { env, stdio: ["ignore", 2, 2] }).status;
}

/** The machine's own policy, if it has one, is there again afterwards. */
function withoutStartingServices(action) {
  const before = existsSync(POLICY_FILE) ? readFileSync(POLICY_FILE, "utf8") : POLICY;
  writeFileSync(POLICY_FILE, POLICY, { mode: 0o755 });
  try {
    action();
  } finally {
    if (before === POLICY) rmSync(POLICY_FILE, { force: true });
    else writeFileSync(POLICY_FILE, before);
  }
}
