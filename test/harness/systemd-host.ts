import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type RunOptions, type RunResult, run, runOrThrow } from "../../deploy/lab/run.js";
import { scaleTimeout } from "../../deploy/lab/wait-until.js";
import { eventually } from "./eventually.js";

const SCRIPT = fileURLToPath(new URL("systemd-host.sh", import.meta.url));
const SYSTEMD = "/lib/systemd/systemd";
/**
 * Type of an overlay in `statfs` (OVERLAYFS_SUPER_MAGIC). The kernel stores no changes of an overlay in another one.
 */
const OVERLAY_TYPE = 0x794c7630;
/** Timeout of a boot. It takes a few seconds on an idle machine. */
const BOOT_TIMEOUT_MS = 60_000;
/** Command prefix that sets the environment of a root shell and removes that of the test runner. */
const ENVIRONMENT = [
  "env",
  "-i",
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "HOME=/root",
  "LANG=C.UTF-8",
  "DEBIAN_FRONTEND=noninteractive",
];

/** Returns why a {@link SystemdHost} cannot boot with its files in this directory, or undefined if it can. */
export function systemdHostProblem(directory: string): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(SYSTEMD)) return `needs ${SYSTEMD}`;
  return statfsSync(directory).type === OVERLAY_TYPE
    ? "needs a temporary directory that is not on an overlay, as in a container"
    : undefined;
}

/**
 * A host with systemd, made of namespaces. It has this machine's kernel and packages, but its own disk and network. It
 * runs at full speed, so that units and packages can be tested without a virtual machine.
 */
export class SystemdHost {
  readonly #process: ChildProcess;
  readonly #initId: number;
  readonly #cgroup: string;

  private constructor(host: ChildProcess, initId: number, cgroup: string) {
    this.#process = host;
    this.#initId = initId;
    this.#cgroup = cgroup;
  }

  /** Boots a host that stores its changes in the directory. Resolves once the host's services have started. */
  static async boot(directory: string, hostname = "host1"): Promise<SystemdHost> {
    const cgroup = `berth-test-${process.pid}-${hostname}`;
    const log = openSync(join(directory, "boot.log"), "w");
    const child = spawn("sh", [SCRIPT, directory, cgroup, hostname], {
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    child.once("error", () => undefined);
    const initId = await eventually("the start of systemd", () => {
      if (child.exitCode !== null) throw new Error(readFileSync(join(directory, "boot.log"), "utf8"));
      return child.pid === undefined ? undefined : systemdBelow(child.pid);
    });
    const host = new SystemdHost(child, initId, cgroup);
    // Ignore the exit code: an unrelated unit that fails makes the state "degraded".
    const isBooted = async (): Promise<boolean> =>
      /^(running|degraded)$/m.test((await host.run(["systemctl", "is-system-running"])).stdout);
    await eventually("the boot of the host", isBooted, BOOT_TIMEOUT_MS);
    return host;
  }

  /** Runs a program on the host. A non-zero exit code does not throw. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return run(this.commandInside(argv), options);
  }

  /** Runs a program that must succeed and returns its stdout. */
  runOrThrow(argv: readonly string[], options?: RunOptions): Promise<string> {
    return runOrThrow(this.commandInside(argv), options);
  }

  /** Runs a shell script whose commands must all succeed, and returns its stdout. */
  shell(script: string, options?: RunOptions): Promise<string> {
    return this.runOrThrow(["sh", "-euc", script], options);
  }

  /** Connects the bridges of two hosts with a cable. @param bridge name of the bridge on both hosts */
  async connect(other: SystemdHost, bridge: string): Promise<void> {
    const ends = [
      { host: this, device: "cable0" },
      { host: other, device: "cable1" },
    ] as const;
    const [first, second] = ends.map(({ host, device }) => [device, "netns", String(host.#initId)]);
    await runOrThrow([
      "ip",
      "link",
      "add",
      ...(first ?? []),
      "type",
      "veth",
      "peer",
      "name",
      ...(second ?? []),
    ]);
    for (const { host, device } of ends) await host.shell(`ip link set ${device} master ${bridge} up`);
  }

  commandInside(argv: readonly string[]): readonly string[] {
    return ["nsenter", "--target", String(this.#initId), "--all", "--", ...ENVIRONMENT, ...argv];
  }

  /** Kills all processes of the host. */
  async powerOff(): Promise<void> {
    const exited = once(this.#process, "exit", {
      signal: AbortSignal.timeout(scaleTimeout(BOOT_TIMEOUT_MS)),
    });
    process.kill(this.#initId, "SIGKILL");
    await exited;
    removeCgroups(this.#cgroup);
  }
}

/** Returns the systemd that a process has started, which is its grandchild. */
function systemdBelow(processId: number): number | undefined {
  const childrenOf = (id: number): number[] =>
    readFileSync(`/proc/${id}/task/${id}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  const isSystemd = (id: number): boolean => readFileSync(`/proc/${id}/comm`, "utf8") === "systemd\n";
  return [processId, ...childrenOf(processId)].flatMap(childrenOf).find(isSystemd);
}

function removeCgroups(name: string): void {
  const mounts = readFileSync("/proc/self/mounts", "utf8").matchAll(/^\S+ (\S+) cgroup2? /gm);
  for (const [, mountPoint = ""] of mounts) removeEmptyDirectories(join(mountPoint, name));
}

/** Removes a cgroup and its children. Their files disappear with them. */
function removeEmptyDirectories(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmptyDirectories(join(directory, entry.name));
  }
  rmdirSync(directory);
}
