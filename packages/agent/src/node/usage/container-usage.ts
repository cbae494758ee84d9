import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type CgroupMount, cgroupFolder, parseCgroupMounts } from "./cgroup.js";

/** What the cgroup and the network namespace of a container have used, at one moment. Totals only grow. */
export interface UsageSample {
  /** When it was read, by a clock that never jumps: `performance.now()`. */
  readonly monotonicMs: number;
  /** Processor time of all its processes since it started. */
  readonly cpuNs: number;
  /** In use now, without the part of the file cache that the kernel would give back at once: as `docker stats` has it. */
  readonly memoryBytes: number;
  /** Of all interfaces but the loopback, since it started. Those of the host for a container on the host's network. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** Reads what containers use from the kernel's files: six small ones each, where Docker takes a second. */
export class UsageReader {
  readonly #procDir: string;
  #mounts: Promise<readonly CgroupMount[]> | undefined;

  constructor(procDir = "/proc") {
    this.#procDir = procDir;
  }

  /**
   * @param processId of the container's first process, as `docker inspect` names it (`State.Pid`)
   * @returns undefined when that process has ended, or its cgroup cannot be seen from here
   */
  async read(processId: number): Promise<UsageSample | undefined> {
    if (processId <= 0) return undefined;
    const folder = join(this.#procDir, String(processId));
    try {
      const [mounts, cgroups] = await Promise.all([this.#cgroupMounts(), text(folder, "cgroup")]);
      const cpu = cgroupFolder(cgroups, "cpuacct", mounts);
      const memory = cgroupFolder(cgroups, "memory", mounts);
      if (cpu === undefined || memory === undefined) return undefined;
      const [cpuNs, memoryBytes, network] = await Promise.all([
        readCpuNs(cpu),
        readMemoryBytes(memory),
        text(folder, "net/dev"),
      ]);
      return { monotonicMs: performance.now(), cpuNs, memoryBytes, ...parseNetwork(network) };
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
  }

  #cgroupMounts(): Promise<readonly CgroupMount[]> {
    this.#mounts ??= text(this.#procDir, "self/mountinfo").then(parseCgroupMounts);
    return this.#mounts;
  }
}

/** Processor time between two samples of one container in percent of one processor; undefined when they say nothing. */
export function cpuPercent(before: UsageSample, after: UsageSample): number | undefined {
  const elapsedNs = (after.monotonicMs - before.monotonicMs) * 1e6;
  const usedNs = after.cpuNs - before.cpuNs;
  // A total that fell is that of another container.
  return elapsedNs <= 0 || usedNs < 0 ? undefined : (100 * usedNs) / elapsedNs;
}

async function readCpuNs(folder: string): Promise<number> {
  const total = await textOrNothing(folder, "cpuacct.usage");
  if (total !== undefined) return Number(total);
  return statValue(await text(folder, "cpu.stat"), "usage_usec") * 1e3;
}

async function readMemoryBytes(folder: string): Promise<number> {
  const [total, stat] = await Promise.all([
    textOrNothing(folder, "memory.usage_in_bytes").then((value) => value ?? text(folder, "memory.current")),
    text(folder, "memory.stat"),
  ]);
  const cache = statValue(stat, "total_inactive_file") || statValue(stat, "inactive_file");
  return Math.max(0, Number(total) - cache);
}

/** `name value` on a line of its own; 0 when there is none. */
function statValue(stat: string, name: string): number {
  const line = stat.split("\n").find((one) => one.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

/** `  eth0: <received bytes> <7 more> <sent bytes> …`, after two lines of headings. */
export function parseNetwork(dev: string): Pick<UsageSample, "receivedBytes" | "sentBytes"> {
  let receivedBytes = 0;
  let sentBytes = 0;
  for (const line of dev.split("\n").slice(2)) {
    const [name = "", counters = ""] = line.split(":");
    if (name.trim() === "lo" || counters === "") continue;
    const values = counters.trim().split(/\s+/).map(Number);
    receivedBytes += values[0] ?? 0;
    sentBytes += values[8] ?? 0;
  }
  return { receivedBytes, sentBytes };
}

const text = (folder: string, name: string): Promise<string> => readFile(join(folder, name), "utf8");

async function textOrNothing(folder: string, name: string): Promise<string | undefined> {
  try {
    return await text(folder, name);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** No such file, no such process (which the kernel also says of files that are open). */
function isGone(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ESRCH";
}
