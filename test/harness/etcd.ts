import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { scaleTimeout, waitUntil } from "../../deploy/lab/wait-until.js";

const DIRECTORY_PREFIX = "berth-test-etcd-";
/** Timeout until etcd responds. */
const START_TIMEOUT_MS = 15_000;
const FREEZE_TIMEOUT_MS = scaleTimeout(5_000);
/** Timeout of a health check. */
const CALL_TIMEOUT_MS = 1_000;

/**
 * First of the ports that are tried. They are below Linux's ephemeral ports (from 32768), so that a restarted etcd
 * finds its ports free, and below the ports of the server's embedded etcd (from 20000), which other tests start.
 */
const FIRST_PORT = 10_000;
/** Number of ports that are tried. */
const PORT_COUNT = 10_000;
/**
 * Maximum number of attempts to start etcd. A start fails if another process binds a port between the check and the
 * start.
 */
const MAX_START_ATTEMPTS = 5;

/**
 * File with the PIDs of a directory's etcd process and test process, so that a later run can clean up after a killed
 * one.
 */
const OWNER_FILE = "owner.json";

export interface TestEtcd {
  readonly endpoint: string;
  /** PID of the current etcd process. */
  readonly pid: number | undefined;
  /** Stops all threads of the process, as when a VM is paused. `resume` continues them. */
  freeze(): void;
  resume(): void;
  /** Sends SIGKILL and waits for the exit. Keeps the data. */
  kill(): Promise<void>;
  /** Starts etcd again with the same data and ports. */
  restart(): Promise<void>;
  /** Discards all earlier revisions. */
  compact(revision: bigint): Promise<void>;
  /** Stops etcd and removes its directory. */
  close(): Promise<void>;
}

export interface TestEtcdOptions {
  /** Whether etcd syncs writes to the disk, as in production. Tests need no sync: a killed process loses no data. */
  readonly fsync?: boolean;
}

interface Ports {
  readonly client: number;
  readonly peer: number;
}

/** Starts a real etcd on free loopback ports with a temporary directory. */
export async function startTestEtcd({ fsync = false }: TestEtcdOptions = {}): Promise<TestEtcd> {
  removeLeftoverEtcds();
  const directory = mkdtempSync(join(tmpdir(), DIRECTORY_PREFIX));
  let child: ChildProcess | undefined;
  const cleanUp = (): void => {
    child?.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("exit", cleanUp);

  /** Returns false if etcd exits while starting, as it does if a port is in use. */
  const start = async (ports: Ports): Promise<boolean> => {
    const started = spawn("etcd", etcdArguments(directory, ports, fsync), { stdio: "ignore" });
    child = started;
    writeFileSync(join(directory, OWNER_FILE), JSON.stringify({ owner: process.pid, etcd: started.pid }));
    const readiness = async (): Promise<"ready" | "exited" | false> => {
      if (hasExited(started)) return "exited";
      return (await isHealthy(directory, ports)) && "ready";
    };
    const what = `etcd on port ${ports.client} to become healthy`;
    return (await waitUntil(readiness, { what, timeoutMs: START_TIMEOUT_MS })) === "ready";
  };
  const kill = async (): Promise<void> => {
    if (child === undefined || hasExited(child)) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };

  const ports = await startOnFreePorts(start);
  const endpoint = urlOf(ports.client);
  return {
    endpoint,
    get pid() {
      return child?.pid;
    },
    freeze: () => child?.pid !== undefined && freezeAllThreads(child.pid),
    resume: () => child?.kill("SIGCONT"),
    kill,
    restart: async () => {
      if (!(await start(ports))) throw new Error(`etcd exited while restarting on port ${ports.client}`);
    },
    compact: async (revision) => {
      const body = JSON.stringify({ revision: String(revision), physical: true });
      const response = await fetch(`${endpoint}/v3/kv/compaction`, { method: "POST", body });
      if (!response.ok) throw new Error(`compaction failed: ${await response.text()}`);
    },
    close: async () => {
      await kill();
      process.off("exit", cleanUp);
      cleanUp();
    },
  };
}

function urlOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}

function etcdArguments(directory: string, { client, peer }: Ports, fsync: boolean): string[] {
  const name = basename(directory);
  return [
    ...["--name", name, "--data-dir", join(directory, "data"), ...(fsync ? [] : ["--unsafe-no-fsync"])],
    ...["--logger", "zap", "--log-level", "error"],
    ...["--listen-client-urls", urlOf(client), "--advertise-client-urls", urlOf(client)],
    ...["--listen-peer-urls", urlOf(peer), "--initial-advertise-peer-urls", urlOf(peer)],
    ...["--initial-cluster", `${name}=${urlOf(peer)}`],
  ];
}

/** Starts etcd on free ports. Retries with other ports if one has been taken in the meantime. */
async function startOnFreePorts(start: (ports: Ports) => Promise<boolean>): Promise<Ports> {
  for (let attempt = 0; attempt < MAX_START_ATTEMPTS; attempt += 1) {
    const client = FIRST_PORT + Math.floor(Math.random() * (PORT_COUNT - 1));
    const ports = { client, peer: client + 1 };
    const free = await Promise.all([isFree(ports.client), isFree(ports.peer)]);
    if (free.every(Boolean) && (await start(ports))) return ports;
  }
  throw new Error(`etcd did not start in ${MAX_START_ATTEMPTS} attempts`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const isListening = await new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => resolve(true));
  });
  if (isListening) await new Promise((resolve) => server.close(resolve));
  return isListening;
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Returns whether the directory's etcd is healthy. Checks its name, because another etcd may listen on the port. */
async function isHealthy(directory: string, { client }: Ports): Promise<boolean> {
  const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
  try {
    const health = await fetch(`${urlOf(client)}/health`, { signal });
    if (!health.ok) return false;
    const listing = await fetch(`${urlOf(client)}/v3/cluster/member/list`, {
      method: "POST",
      body: "{}",
      signal,
    });
    const { members } = (await listing.json()) as { readonly members: readonly { readonly name: string }[] };
    return members.some(({ name }) => name === basename(directory));
  } catch {
    return false;
  }
}

/** Stops a process and waits until all its threads have stopped. Until then, etcd may still answer a call. */
function freezeAllThreads(pid: number): void {
  process.kill(pid, "SIGSTOP");
  const deadlineMs = Date.now() + FREEZE_TIMEOUT_MS;
  const isStopped = (thread: string): boolean =>
    /\) T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8"));
  while (!readdirSync(`/proc/${pid}/task`).every(isStopped)) {
    if (Date.now() > deadlineMs) throw new Error(`etcd ${pid} did not stop within ${FREEZE_TIMEOUT_MS} ms`);
  }
}

/** Kills the etcd processes of test processes that have exited, and removes their directories. */
export function removeLeftoverEtcds(): void {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(DIRECTORY_PREFIX))) {
    const directory = join(tmpdir(), name);
    const processes = readOwner(directory);
    if (processes === undefined || isAlive(processes.owner)) continue;
    if (commandLine(processes.etcd).includes(directory)) process.kill(processes.etcd, "SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Returns the PIDs of a directory's test process and etcd process, or undefined if they are unknown. */
function readOwner(directory: string): { owner: number; etcd: number } | undefined {
  try {
    const { owner, etcd } = JSON.parse(readFileSync(join(directory, OWNER_FILE), "utf8"));
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
