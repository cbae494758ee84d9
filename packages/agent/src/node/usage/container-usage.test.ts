import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cgroupDirectory, parseCgroupMounts } from "./cgroup.js";
import { isGone, UsageReader, type UsageSample } from "./container-usage.js";
import { cpuPercent } from "./usage-rates.js";

const NET_DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9999       1    0    0    0     0          0         0  9999       1    0    0    0     0       0          0
  eth0: 1500      10    0    0    0     0          0         0   700       7    0    0    0     0       0          0
  eth1:  500       3    0    0    0     0          0         0    50       1    0    0    0     0       0          0
`;

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "berth-usage-"));
});
afterEach(() => rm(root, { recursive: true }));

/** Writes files, and returns a reader of them. */
async function createReader(contents: Readonly<Record<string, string>>): Promise<UsageReader> {
  for (const [name, content] of Object.entries(contents)) {
    const path = join(root, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
  return new UsageReader(join(root, "proc"));
}

test("UsageReader reads the CPU, memory and network usage of a container under cgroup v1", async () => {
  const reader = await createReader({
    "proc/self/mountinfo": [
      `33 31 0:30 / ${root}/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct`,
      `35 31 0:32 / ${root}/memory rw,relatime - cgroup cgroup rw,memory`,
      `41 31 0:38 / ${root}/unified rw,relatime - cgroup2 cgroup2 rw`,
    ].join("\n"),
    "proc/42/cgroup": "5:memory:/h1/abc\n3:cpu,cpuacct:/h1/abc\n0::/\n",
    "proc/42/net/dev": NET_DEV,
    "cpu/h1/abc/cpuacct.usage": "1500000000\n",
    "memory/h1/abc/memory.usage_in_bytes": "10000\n",
    "memory/h1/abc/memory.stat": "cache 5000\ninactive_file 1\ntotal_inactive_file 4000\n",
  });
  expect(await reader.read(42)).toMatchObject({
    cpuNs: 1_500_000_000,
    memoryBytes: 6_000,
    receivedBytes: 2_000,
    sentBytes: 750,
  });
});

test.each([
  ["ENOENT", true],
  ["ESRCH", true],
  ["ENODEV", true],
  ["EMFILE", false],
])("a read that fails with %s means that the container is gone: %s", (code, expected) => {
  expect(isGone(Object.assign(new Error("read failed"), { code }))).toBe(expected);
});

test("UsageReader reads the usage of a container under cgroup v2", async () => {
  const reader = await createReader({
    "proc/self/mountinfo": `30 23 0:26 / ${root}/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n`,
    "proc/42/cgroup": "0::/system.slice/docker-abc.scope\n",
    "proc/42/net/dev": NET_DEV,
    "cgroup/system.slice/docker-abc.scope/cpu.stat": "usage_usec 2500\nuser_usec 2000\n",
    "cgroup/system.slice/docker-abc.scope/memory.current": "10000\n",
    "cgroup/system.slice/docker-abc.scope/memory.stat": "anon 1\ninactive_file 3000\n",
  });
  expect(await reader.read(42)).toMatchObject({ cpuNs: 2_500_000, memoryBytes: 7_000 });
});

test("UsageReader returns undefined for a process that has ended or whose cgroup is not visible", async () => {
  const reader = await createReader({
    "proc/self/mountinfo": `30 23 0:26 / ${root}/cgroup rw - cgroup2 cgroup2 rw\n`,
    "proc/43/cgroup": "0::/../other\n",
    "proc/43/net/dev": NET_DEV,
  });
  expect(await reader.read(42)).toBeUndefined();
  expect(await reader.read(43)).toBeUndefined();
  expect(await reader.read(0)).toBeUndefined();
});

const MOUNT_OF_PART = parseCgroupMounts("30 23 0:26 /docker/me /sys/fs/cgroup rw - cgroup2 cgroup2 rw");

test("cgroupDirectory resolves a cgroup below the root of a mount", () => {
  expect(cgroupDirectory("0::/docker/me/child", "memory", MOUNT_OF_PART)).toBe("/sys/fs/cgroup/child");
  expect(cgroupDirectory("0::/docker/me", "memory", MOUNT_OF_PART)).toBe("/sys/fs/cgroup");
});

test("cgroupDirectory returns undefined for a cgroup whose path only begins with the text of a mount's root", () => {
  expect(cgroupDirectory("0::/docker/mentor", "memory", MOUNT_OF_PART)).toBeUndefined();
});

test("cgroupDirectory returns undefined for a cgroup outside the root of all mounts", () => {
  expect(cgroupDirectory("0::/system.slice/other", "memory", MOUNT_OF_PART)).toBeUndefined();
  const whole = parseCgroupMounts("31 23 0:26 / /host/cgroup rw - cgroup2 cgroup2 rw");
  expect(cgroupDirectory("0::/system.slice/other", "memory", [...MOUNT_OF_PART, ...whole])).toBe(
    "/host/cgroup/system.slice/other",
  );
});

test("cpuPercent returns the percentage of one CPU, and undefined across a restart of the container", () => {
  const sample = (atMs: number, cpuNs: number): UsageSample => ({
    monotonicMs: atMs,
    cpuNs,
    memoryBytes: 0,
    receivedBytes: 0,
    sentBytes: 0,
  });
  expect(cpuPercent(sample(0, 0), sample(2_000, 3e9))).toBe(150);
  expect(cpuPercent(sample(0, 5e9), sample(2_000, 1e9))).toBeUndefined();
  expect(cpuPercent(sample(5, 0), sample(5, 1))).toBeUndefined();
});

test("UsageReader reads the mounts again after a failure", async () => {
  const reader = await createReader({ "proc/42/cgroup": "0::/a\n", "proc/42/net/dev": NET_DEV });
  expect(await reader.read(42)).toBeUndefined();
  await createReader({
    "proc/self/mountinfo": `30 23 0:26 / ${root}/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n`,
    "cgroup/a/cpu.stat": "usage_usec 2500\n",
    "cgroup/a/memory.current": "10000\n",
    "cgroup/a/memory.stat": "inactive_file 3000\n",
  });
  expect(await reader.read(42)).toMatchObject({ memoryBytes: 7_000 });
});
