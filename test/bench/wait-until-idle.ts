import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { BenchContext } from "./run-bench.js";

const SAMPLE_MS = 500;
/** Maximum time to wait. A machine with other work never becomes idle, so the measurement then starts anyway. */
const GIVE_UP_MS = 15_000;
const QUIET_BUSY_SHARE = 0.1;

/**
 * Waits until the machine is idle, so that exits, disk flushes and garbage collection after the last measurement do not
 * affect the next. Does nothing in a smoke run, whose figures are meaningless and which runs beside other tests.
 */
export async function waitUntilIdle(
  { signal, isSmoke }: Pick<BenchContext, "signal" | "isSmoke">,
  giveUpMs = GIVE_UP_MS,
): Promise<void> {
  if (isSmoke) return;
  const deadline = performance.now() + giveUpMs;
  let before = cpuTimes();
  while (performance.now() < deadline) {
    await sleep(SAMPLE_MS, undefined, { signal });
    const after = cpuTimes();
    if ((after.busy - before.busy) / (after.total - before.total) < QUIET_BUSY_SHARE) return;
    before = after;
  }
}

/** Returns the clock ticks of all processors since boot. */
function cpuTimes(): { busy: number; total: number } {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const ticks = line.trim().split(/\s+/).slice(1).map(Number);
  const total = ticks.reduce((sum, value) => sum + value, 0);
  const [, , , idle = 0, waitingForDisk = 0] = ticks;
  return { busy: total - idle - waitingForDisk, total };
}
