import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseNetwork } from "./container-usage.js";

/** Unit of CPU time in /proc/stat: 10 ms (USER_HZ) on all architectures that berth supports. */
const NS_PER_TICK = 1e7;
const BYTES_PER_KIB = 1024;

/** The usage counters of the host at one moment. Totals never decrease. */
export interface HostUsage {
  /** The time of the sample on the monotonic clock (`performance.now()`). */
  readonly monotonicMs: number;
  readonly cpus: number;
  /** The total CPU time of all CPUs without idle time. */
  readonly cpuNs: number;
  /** Memory that is not available to programs. */
  readonly memoryBytes: number;
  readonly memoryTotalBytes: number;
  /** The total of all interfaces except the loopback. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** Reads the counters from /proc/stat, /proc/meminfo and /proc/net/dev. */
export async function readHostUsage(procDir = "/proc"): Promise<HostUsage> {
  const read = (name: string): Promise<string> => readFile(join(procDir, name), "utf8");
  const [stat, memory, network] = await Promise.all([read("stat"), read("meminfo"), read("net/dev")]);
  const memoryTotalBytes = memInfoBytes(memory, "MemTotal");
  return {
    monotonicMs: performance.now(),
    cpus: stat.match(/^cpu\d+ /gm)?.length ?? 1,
    cpuNs: busyTicks(stat) * NS_PER_TICK,
    memoryBytes: memoryTotalBytes - memInfoBytes(memory, "MemAvailable"),
    memoryTotalBytes,
    ...parseNetwork(network),
  };
}

/** Parses `cpu  user nice system idle iowait irq softirq steal ...`. Leaves out idle, iowait and steal. */
export function busyTicks(stat: string): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (stat.split("\n")[0] ?? "")
    .split(/\s+/)
    .map(Number);
  return user + nice + system + irq + softirq;
}

/** Returns the value of a line such as `MemTotal:  16384 kB` in bytes, or 0 if there is no such line. */
export function memInfoBytes(meminfo: string, name: string): number {
  const [, kib = "0"] = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(meminfo) ?? [];
  return Number(kib) * BYTES_PER_KIB;
}
