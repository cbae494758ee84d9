import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const FOLDER_PREFIX = "berth-test-etcd-";
const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 5_000;
const POLL_MS = 25;

/** A folder names its etcd and the test process that owns it, so that a later run can clear away what a crashed one left. */
const OWNER_FILE = "owner.json";

export interface TestEtcd {
  readonly endpoint: string;
  /** Of the process that was started last. */
  readonly pid: number | undefined;
  /** Stops the process where it is, as a machine under memory pressure or a paused VM does. */
  freeze(): void;
  resume(): void;
  /** kill -9; the data stays. */
  kill(): Promise<void>;
  /** Starts it again on the same data and ports. */
  restart(): Promise<void>;
  /** Forgets all revisions before this one. */
  compact(revision: bigint): Promise<void>;
  /** Ends it and removes its folder. */
  close(): Promise<void>;
}

export interface TestEtcdOptions {
  /** Write to the disk before it answers, as in production. Tests do without: a killed process loses nothing, and none cuts power. */
  readonly fsync?: boolean;
}

/** Starts a real etcd on unused loopback ports in a temporary folder. */
export async function startTestEtcd({ fsync = false }: TestEtcdOptions = {}): Promise<TestEtcd> {
  sweepLeftovers();
  const folder = mkdtempSync(join(tmpdir(), FOLDER_PREFIX));
  const [clientPort, peerPort] = await Promise.all([freePort(), freePort()]);
  const endpoint = `http://127.0.0.1:${clientPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = [
    [
      "--name",
      "test",
      "--data-dir",
      join(folder, "data"),
      ...(fsync ? [] : ["--unsafe-no-fsync"]),
      "--logger",
      "zap",
      "--log-level",
      "error",
    ],
    ["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
    ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `test=${peer}`],
  ].flat();

  let child: ChildProcess | undefined;
  const clearAway = (): void => {
    child?.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", clearAway);

  const start = async (): Promise<void> => {
    child = spawn("etcd", args, { stdio: "ignore" });
    writeFileSync(join(folder, OWNER_FILE), JSON.stringify({ owner: process.pid, etcd: child.pid }));
    await waitUntilHealthy(endpoint);
  };
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };

  await start();
  return {
    endpoint,
    get pid() {
      return child?.pid;
    },
    freeze: () => child?.pid !== undefined && stopAllThreads(child.pid),
    resume: () => child?.kill("SIGCONT"),
    kill,
    restart: start,
    compact: async (revision) => {
      const body = JSON.stringify({ revision: String(revision), physical: true });
      const response = await fetch(`${endpoint}/v3/kv/compaction`, { method: "POST", body });
      if (!response.ok) throw new Error(`compaction failed: ${await response.text()}`);
    },
    close: async () => {
      await kill();
      process.off("exit", clearAway);
      clearAway();
    },
  };
}

/** Returns when the last thread stands still: until then etcd may answer a call that comes after the signal. */
function stopAllThreads(pid: number): void {
  process.kill(pid, "SIGSTOP");
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  const stands = (thread: string): boolean =>
    /\) T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8"));
  while (!readdirSync(`/proc/${pid}/task`).every(stands)) {
    if (Date.now() > deadline) throw new Error(`etcd ${pid} did not stop within ${STOP_TIMEOUT_MS} ms`);
  }
}

async function waitUntilHealthy(endpoint: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const healthy = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(1_000) })
      .then((response) => response.ok)
      .catch(() => false);
    if (healthy) return;
    await delay(POLL_MS);
  }
  throw new Error(`etcd at ${endpoint} was not healthy within ${START_TIMEOUT_MS} ms`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Ends etcd processes of test runs that are gone, and removes their folders. */
function sweepLeftovers(): void {
  for (const name of readdirSync(tmpdir()).filter((each) => each.startsWith(FOLDER_PREFIX))) {
    const folder = join(tmpdir(), name);
    const owned = readOwner(folder);
    if (owned === undefined || isAlive(owned.owner)) continue;
    if (commandLine(owned.etcd).includes(folder)) process.kill(owned.etcd, "SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

function readOwner(folder: string): { owner: number; etcd: number } | undefined {
  try {
    const { owner, etcd } = JSON.parse(readFileSync(join(folder, OWNER_FILE), "utf8"));
    return Number.isInteger(owner) && Number.isInteger(etcd) ? { owner, etcd } : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
