import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { lockDataDir } from "./process-lock.js";

const OTHER_USER = 65_534;

function createDataDir(): string {
  const dataDir = mkdtempSync(join(tmpdir(), "berth-lock-"));
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
  return dataDir;
}

it("lockDataDir locks a directory for one process of each kind until it is released", async () => {
  const dataDir = createDataDir();
  const lock = await lockDataDir(dataDir, "agent");
  expect(lock).toBeDefined();
  expect(await lockDataDir(dataDir, "agent")).toBeUndefined();
  const other = await lockDataDir(dataDir, "ingress");
  expect(other).toBeDefined();
  lock?.release();
  const next = await lockDataDir(dataDir, "agent");
  expect(next).toBeDefined();
  for (const held of [other, next]) held?.release();
});

it("lockDataDir succeeds after the previous holder was killed", async () => {
  const dataDir = createDataDir();
  const holder = spawn("flock", ["--no-fork", join(dataDir, "agent.lock"), "sleep", "60"]);
  await expect
    .poll(async () => {
      const lock = await lockDataDir(dataDir, "agent");
      lock?.release();
      return lock;
    })
    .toBeUndefined();
  holder.kill("SIGKILL");
  await expect.poll(() => lockDataDir(dataDir, "agent")).toBeDefined();
});

it.skipIf(process.getuid?.() !== 0)("another user cannot take the lock first", async () => {
  const dataDir = createDataDir();
  (await lockDataDir(dataDir, "agent"))?.release();
  const takeLock = (): unknown =>
    execFileSync("flock", ["-n", join(dataDir, "agent.lock"), "true"], { uid: OTHER_USER, stdio: "pipe" });
  expect(takeLock).toThrow(/Permission denied/);
  // The file protects itself where the directory is readable.
  chmodSync(dataDir, 0o755);
  expect(takeLock).toThrow(/Permission denied/);
  const sockets = execFileSync("cat", ["/proc/self/net/unix"], { encoding: "utf8" });
  const lock = await lockDataDir(dataDir, "agent");
  expect(lock).toBeDefined();
  lock?.release();
  expect(sockets).not.toMatch(/@berth-(agent|ingress|kernel)/);
});

it("lockDataDir names the missing program, and closes the lock file", async () => {
  const dataDir = createDataDir();
  const { PATH } = process.env;
  onTestFinished(() => {
    process.env.PATH = PATH;
  });
  process.env.PATH = dataDir;
  await expect(lockDataDir(dataDir, "agent")).rejects.toMatchObject({
    code: "BERTH_UNSUPPORTED",
    message: expect.stringMatching(/agent\.lock: the program flock is missing; install util-linux$/),
  });
});

it("a lock can be released twice without closing another file", async () => {
  const dataDir = createDataDir();
  const lock = await lockDataDir(dataDir, "agent");
  lock?.release();
  const next = await lockDataDir(dataDir, "agent");
  lock?.release();
  expect(await lockDataDir(dataDir, "agent")).toBeUndefined();
  next?.release();
});
