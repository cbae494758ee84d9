import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseNetwork } from "./container-usage.js";

/** Linux counts processor time in hundredths of a second for programs, whatever it uses inside. */
const NS_PER_TICK = 1e7;
const BYTES_PER_KIB = 1024;

/** What a whole host has used, at one moment. Totals only grow. */
export interface HostUsage {
  /** By a clock that never jumps: `performance.now()`. */
  readonly monotonicMs: number;
  readonly cpus: number;
  /** Processor time that was not idle, of all processors. */
  readonly cpuNs: number;
  /** What programs could not get any more. */
  readonly memoryBytes: number;
  readonly memoryTotalBytes: number;
  /** Of all interfaces but the loopback. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** Reads three files of the kernel's. */
export async function readHostUsage(procDir = "/proc"): Promise<HostUsage> {
  const read = (name: string): Promise<string> => readFile(join(procDir, name), "utf8");
  const [stat, memory, network] = await Promise.all([read("stat"), read("meminfo"), read("net/dev")]);
  const memoryTotalBytes = memoryValue(memory, "MemTotal");
  return {
    monotonicMs: performance.now(),
    cpus: stat.match(/^cpu\d+ /gm)?.length ?? 1,
    cpuNs: busyTicks(stat) * NS_PER_TICK,
    memoryBytes: memoryTotalBytes - memoryValue(memory, "MemAvailable"),
    memoryTotalBytes,
    ...parseNetwork(network),
  };
}

/** `cpu  user nice system idle iowait irq softirq steal …`: the fourth and fifth are time in which nothing ran. */
function busyTicks(stat: string): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (stat.split("\n")[0] ?? "")
    .split(/\s+/)
    .map(Number);
  return user + nice + system + irq + softirq;
}

function memoryValue(meminfo: string, name: string): number {
  const [, kib = "0"] = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(meminfo) ?? [];
  return Number(kib) * BYTES_PER_KIB;
}
