import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { clientUrl, type EtcdCluster, initialCluster, memberName, peerUrl } from "./cluster.js";
import type { Ports } from "./data-dir.js";

/** Kept for error messages. */
const MAX_LAST_LINES = 5;

const HEALTH_POLL_MS = 25;
const HEALTH_CALL_TIMEOUT_MS = 1_000;

/** etcd ends within this when asked to; it is crash-safe, so killing it is no loss. */
const STOP_TIMEOUT_MS = 5_000;

/** Follows a watch over a short disconnection, and no more: berth lists again after a longer one. */
const KEPT_REVISIONS = 1_000;

/** Twice etcd's default: a million tasks of 1 kB with their history. */
const QUOTA_BYTES = 4 * 1024 ** 3;

interface Pace {
  readonly heartbeatMs: number;
  readonly electionTimeoutMs: number;
}

/**
 * A lone member elects itself this long after a start, and there is no network to be patient with: etcd's default of
 * 1,000 ms would be most of an outage. The election timeout must be at least five heartbeats.
 */
const ALONE: Pace = { heartbeatMs: 50, electionTimeoutMs: 250 };

/**
 * Members elect another leader one to two timeouts after the last heartbeat: a lost host costs 0.5-1 s, of which the
 * server's own failover needs most anyway. A busy machine misses no five heartbeats in a row; if it does, an election
 * costs a second without writes and nothing else.
 */
const AMONG_OTHERS: Pace = { heartbeatMs: 100, electionTimeoutMs: 500 };

/** etcd keeps as many entries in memory as are not in a snapshot yet; its default of 100,000 could be gigabytes of large transactions. */
const ENTRIES_PER_SNAPSHOT = 5_000;

export interface EtcdProcessOptions {
  readonly program: string;
  readonly dataDir: string;
  readonly host: string;
  readonly ports: Ports;
  /** Absent: a member alone. */
  readonly cluster?: (EtcdCluster & { readonly isReplacement: boolean }) | undefined;
  readonly logger: Logger;
}

/** One run of the etcd program, from spawn to exit. */
export class EtcdProcess {
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #endpoint: string;
  readonly #lastLines: string[] = [];
  #running = true;

  constructor(options: EtcdProcessOptions) {
    const { program, host, ports, logger } = options;
    this.#endpoint = clientUrl(host, ports);
    const [command, ...args] = dyingWithParent([program, ...etcdArguments(options)]);
    // A clean environment: every ETCD_* variable would be a flag. And a session of its own: Ctrl-C in a terminal is for
    // the server, which still needs its store to leave in order.
    this.#child = spawn(command, args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env.PATH },
      detached: true,
    });
    this.exited = new Promise((resolve) => {
      // Unlike "exit", after the last of its log has been read.
      this.#child.once("close", () => resolve());
      this.#child.once("error", () => resolve());
    });
    void this.exited.then(() => {
      this.#running = false;
    });
    this.#forwardLog(logger);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#running;
  }

  /** What etcd said last, for an error message. */
  get lastWords(): string {
    return this.#lastLines.join("; ") || "it said nothing";
  }

  /** True once it serves requests, false if it exits or the signal aborts before. */
  async becomesHealthy(signal: AbortSignal): Promise<boolean> {
    while (this.#running && !signal.aborted) {
      if (await isHealthy(this.#endpoint)) return this.#running;
      await delay(HEALTH_POLL_MS);
    }
    return false;
  }

  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.kill(), STOP_TIMEOUT_MS);
    await this.exited;
    clearTimeout(timer);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #forwardLog(logger: Logger): void {
    const { stderr } = this.#child;
    if (stderr === null) return;
    createInterface({ input: stderr }).on("line", (line) => {
      const text = logEtcdLine(line, logger);
      if (text !== undefined) this.#lastLines.push(text);
      if (this.#lastLines.length > MAX_LAST_LINES) this.#lastLines.shift();
    });
  }
}

function etcdArguments({ dataDir, host, ports, cluster }: EtcdProcessOptions): readonly string[] {
  const client = clientUrl(host, ports);
  const peer = peerUrl(host, ports);
  const name = cluster === undefined ? "berth" : memberName(host);
  const { heartbeatMs, electionTimeoutMs } = cluster === undefined ? ALONE : AMONG_OTHERS;
  return [
    ["--name", name],
    ["--data-dir", dataDir],
    ["--listen-client-urls", client, "--advertise-client-urls", client],
    ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
    ["--initial-cluster", cluster === undefined ? `${name}=${peer}` : initialCluster(cluster)],
    ["--initial-cluster-state", cluster?.isReplacement ? "existing" : "new"],
    // A member that was cut off would otherwise depose a good leader when it comes back.
    ["--pre-vote"],
    ["--auto-compaction-mode", "revision", "--auto-compaction-retention", String(KEPT_REVISIONS)],
    ["--quota-backend-bytes", String(QUOTA_BYTES)],
    ["--heartbeat-interval", String(heartbeatMs), "--election-timeout", String(electionTimeoutMs)],
    ["--snapshot-count", String(ENTRIES_PER_SNAPSHOT)],
    ["--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn"],
  ].flat();
}

async function isHealthy(endpoint: string): Promise<boolean> {
  try {
    const response = await fetch(`${endpoint}/health`, {
      signal: AbortSignal.timeout(HEALTH_CALL_TIMEOUT_MS),
    });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

/** A server killed with -9 cannot stop its etcd; the kernel does it where util-linux is there to ask it to. */
function dyingWithParent(command: readonly [string, ...string[]]): readonly [string, ...string[]] {
  return findProgram("setpriv") === undefined
    ? command
    : ["setpriv", "--pdeathsig", "KILL", "--", ...command];
}

/** What berth's way of running etcd always makes it warn about, and nobody can act on. */
const EXPECTED = [/simple token is not cryptographically signed/, /serving client traffic insecurely/];

/** Before its JSON log is set up, etcd warns in the old format; and Go's last cry has none. The trace that follows says nothing to a user. */
const PLAIN_TEXT = /^(?:panic:|fatal error:)|^\S+ \S+ [WEC] \| /;

/** Passes one line of etcd's log on to berth's, and returns it as a short text; undefined if it says nothing. */
export function logEtcdLine(line: string, logger: Logger): string | undefined {
  const parsed = parseLine(line);
  if (parsed === undefined || EXPECTED.some((pattern) => pattern.test(parsed.msg))) return undefined;
  const { level, msg, facts } = parsed;
  const { ts: _time, caller: _caller, stacktrace: _trace, ...etcd } = facts;
  if (level === "warn") logger.warn({ etcd }, `etcd: ${msg}`);
  else logger.error({ etcd }, `etcd: ${msg}`);
  return typeof etcd.error === "string" ? `${msg}: ${etcd.error}` : msg;
}

interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

function parseLine(line: string): LogLine | undefined {
  try {
    const { level, msg, ...facts } = JSON.parse(line);
    if (typeof level === "string" && typeof msg === "string") return { level, msg, facts };
  } catch {
    // Not JSON.
  }
  if (!PLAIN_TEXT.test(line)) return undefined;
  return { level: line.includes(" W | ") ? "warn" : "error", msg: line, facts: {} };
}

/** @throws BerthError BERTH_ETCD_MISSING, saying how to install it */
export function requireEtcd(program: string): void {
  if (findProgram(program) !== undefined) return;
  throw new BerthError({
    code: "BERTH_ETCD_MISSING",
    message:
      `The program ${program} was not found, and without --etcd URL berth keeps its state in an etcd that it starts itself. ` +
      "Install it (Debian and Ubuntu: apt-get install etcd-server), or name a running etcd with --etcd URL.",
  });
}

/** The path of a program on the PATH, or of the file if the name is a path already; undefined if it cannot be run. */
export function findProgram(name: string): string | undefined {
  if (name.includes("/")) return isExecutable(name) ? name : undefined;
  const folders = (process.env.PATH ?? "").split(":").filter((folder) => folder !== "");
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
