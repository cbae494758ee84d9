import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type CgroupMount, cgroupDirectory, parseCgroupMounts } from "./cgroup.js";

/** The usage counters of a container at one moment. Totals never decrease while the container runs. */
export interface UsageSample {
  /** The time of the sample on the monotonic clock (`performance.now()`). */
  readonly monotonicMs: number;
  /** The total CPU time of all processes. */
  readonly cpuNs: number;
  /** The current memory usage without reclaimable file cache, as `docker stats` shows it. */
  readonly memoryBytes: number;
  /**
   * Bytes received on all interfaces except the loopback. Containers in host network mode have the host's interfaces.
   */
  readonly receivedBytes: number;
  /** Bytes sent on the same interfaces. */
  readonly sentBytes: number;
}

/**
 * Reads the resource usage of containers from procfs and their cgroups: a few small files per container. A request for
 * statistics to Docker's API takes about a second.
 */
export class UsageReader {
  readonly #procDir: string;
  #mounts: Promise<readonly CgroupMount[]> | undefined;

  constructor(procDir = "/proc") {
    this.#procDir = procDir;
  }

  /**
   * Reads the counters of a container. Returns undefined if its main process has ended, or if its cgroup is not visible
   * to this process.
   *
   * @param processId the container's main process (`State.Pid` of `docker inspect`)
   */
  async read(processId: number): Promise<UsageSample | undefined> {
    if (processId <= 0) return undefined;
    const directory = join(this.#procDir, String(processId));
    try {
      const [mounts, cgroups] = await Promise.all([this.#cgroupMounts(), readText(directory, "cgroup")]);
      const cpu = cgroupDirectory(cgroups, "cpuacct", mounts);
      const memory = cgroupDirectory(cgroups, "memory", mounts);
      if (cpu === undefined || memory === undefined) return undefined;
      const [cpuNs, memoryBytes, network] = await Promise.all([
        readCpuNs(cpu),
        readMemoryBytes(memory),
        readText(directory, "net/dev"),
      ]);
      return { monotonicMs: performance.now(), cpuNs, memoryBytes, ...parseNetwork(network) };
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
  }

  #cgroupMounts(): Promise<readonly CgroupMount[]> {
    if (this.#mounts === undefined) {
      const mounts = readText(this.#procDir, "self/mountinfo").then(parseCgroupMounts);
      this.#mounts = mounts;
      // The next sample retries a failed read, for example after EMFILE.
      mounts.catch(() => {
        this.#mounts = undefined;
      });
    }
    return this.#mounts;
  }
}

async function readCpuNs(directory: string): Promise<number> {
  const total = await readTextIfPresent(directory, "cpuacct.usage");
  if (total !== undefined) return Number(total);
  return statValue(await readText(directory, "cpu.stat"), "usage_usec") * 1e3;
}

async function readMemoryBytes(directory: string): Promise<number> {
  const [total, stat] = await Promise.all([
    readTextIfPresent(directory, "memory.usage_in_bytes").then(
      (value) => value ?? readText(directory, "memory.current"),
    ),
    readText(directory, "memory.stat"),
  ]);
  const cache = statValue(stat, "total_inactive_file") || statValue(stat, "inactive_file");
  return Math.max(0, Number(total) - cache);
}

/** Returns the value of a line `name value`, or 0 if there is no such line. */
export function statValue(stat: string, name: string): number {
  const line = stat.split("\n").find((entry) => entry.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

/** Adds up the lines `eth0: <received bytes> <7 other counters> <sent bytes> ...` below the two header lines. */
export function parseNetwork(netDev: string): Pick<UsageSample, "receivedBytes" | "sentBytes"> {
  let receivedBytes = 0;
  let sentBytes = 0;
  for (const line of netDev.split("\n").slice(2)) {
    const [name = "", counters = ""] = line.split(":");
    if (name.trim() === "lo" || counters === "") continue;
    const values = counters.trim().split(/\s+/).map(Number);
    receivedBytes += values[0] ?? 0;
    sentBytes += values[8] ?? 0;
  }
  return { receivedBytes, sentBytes };
}

const readText = (directory: string, name: string): Promise<string> =>
  readFile(join(directory, name), "utf8");

async function readTextIfPresent(directory: string, name: string): Promise<string | undefined> {
  try {
    return await readText(directory, name);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/**
 * Returns whether a file, its process or its cgroup does not exist. Reading an open file fails with ESRCH after its
 * process has ended, and with ENODEV after its cgroup was removed.
 */
export function isGone(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ESRCH" || code === "ENODEV";
}
