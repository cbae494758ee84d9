import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";

/** What of a process is in memory. `ip netns exec` becomes the program that it runs. */
export function residentBytes({ pid }: ChildProcess): number {
  const [, kilobytes = "0"] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1_024;
}
