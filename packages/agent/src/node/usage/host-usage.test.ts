import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readHostUsage } from "./host-usage.js";
import { nodeStatsBetween } from "./usage-rates.js";

let proc: string;
beforeEach(async () => {
  proc = await mkdtemp(join(tmpdir(), "berth-proc-"));
  await mkdir(join(proc, "net"));
});
afterEach(() => rm(proc, { recursive: true }));

/** Writes the /proc files of a host with two CPUs that were busy for `busyTicks` times 10 ms. */
async function writeHost(busyTicks: number, receivedBytes: number): Promise<void> {
  const idle = "5000 700";
  await writeFile(
    join(proc, "stat"),
    `cpu  ${busyTicks} 0 0 ${idle} 0 0 0 0 0\ncpu0 1 0 0 ${idle} 0 0 0 0 0\ncpu1 1 0 0 ${idle} 0 0 0 0 0\nintr 5\n`,
  );
  await writeFile(join(proc, "meminfo"), "MemTotal:  4096 kB\nMemFree:  10 kB\nMemAvailable:  1024 kB\n");
  await writeFile(
    join(proc, "net/dev"),
    `one\ntwo\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: ${receivedBytes} 0 0 0 0 0 0 0 70 0\n`,
  );
}

test("readHostUsage reads CPUs, used memory, and network traffic without the loopback", async () => {
  await writeHost(150, 500);
  expect(await readHostUsage(proc)).toMatchObject({
    cpus: 2,
    cpuNs: 1.5e9,
    memoryBytes: 3072 * 1024,
    memoryTotalBytes: 4096 * 1024,
    receivedBytes: 500,
    sentBytes: 70,
  });
});

test("nodeStatsBetween returns rates per second", async () => {
  await writeHost(100, 500);
  const before = { ...(await readHostUsage(proc)), monotonicMs: 1_000 };
  await writeHost(200, 2_500);
  const after = { ...(await readHostUsage(proc)), monotonicMs: 3_000 };
  expect(nodeStatsBetween(before, after)).toMatchObject({
    cpus: 2,
    usage: { cpuPercent: 50, receivedBytesPerSecond: 1_000, sentBytesPerSecond: 0 },
  });
});
