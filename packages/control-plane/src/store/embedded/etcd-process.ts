import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { scaleTiming } from "@berth/proto";
import type { Logger } from "pino";
import { linkSignals } from "../../runtime/abort.js";
import type { EtcdTlsFiles } from "../etcd-tls.js";
import { type Bootstrap, clientUrl, peerUrl } from "./cluster.js";
import type { Ports } from "./data-dir.js";
import type { EtcdHttpClient } from "./etcd-http.js";
import { logEtcdLine } from "./etcd-log.js";
import { findProgram } from "./find-program.js";

/** Number of log lines to keep for error messages. */
const MAX_LAST_LINES = 5;

/** The message that etcd logs before it exits because the other members have removed it. */
const MEMBER_REMOVED_MESSAGE = "the member has been permanently removed from the cluster";

const HEALTH_POLL_MS = 25;

/** Time for etcd to stop after SIGTERM. Then the server kills etcd, which is safe for its data. */
const STOP_TIMEOUT_MS = 5_000;

/**
 * Number of revisions that etcd keeps, so that a watch can resume after a short disconnection. After a long one, berth
 * lists all keys again.
 */
const KEPT_REVISIONS = 1_000;

/**
 * Default maximum size of the database: twice etcd's default. Enough for a million tasks of 1 kB with their history.
 */
export const DEFAULT_QUOTA_BYTES = 4 * 1024 ** 3;

/** Raft timing of a member. */
interface Timing {
  readonly heartbeatMs: number;
  readonly electionTimeoutMs: number;
}

/**
 * Timings of a single member, which elects itself this long after its start. etcd's default of 1,000 ms allows for
 * networks and would be most of an outage. The election timeout must be at least five heartbeats.
 */
const SINGLE_MEMBER_TIMING: Timing = { heartbeatMs: 50, electionTimeoutMs: 250 };

/**
 * Timings of one of several members, which elect a new leader one to two timeouts after the last heartbeat: a lost host
 * costs 0.5-1 s, about as long as berth's own failover. Five missed heartbeats in a row are unlikely on a busy machine
 * and cost one second without writes.
 */
const CLUSTER_MEMBER_TIMING: Timing = { heartbeatMs: 100, electionTimeoutMs: 500 };

/**
 * Number of log entries between two snapshots. etcd keeps these entries in memory, and its default of 100,000 large
 * transactions could be gigabytes.
 */
const ENTRIES_PER_SNAPSHOT = 5_000;

/**
 * Cipher suites for TLS 1.2, for berth's ECDSA certificates. TLS 1.3 suites cannot be selected. Without a list, Go also
 * allows CBC suites.
 */
const CIPHER_SUITES = [
  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];

export interface EtcdProcessOptions {
  readonly program: string;
  readonly dataDir: string;
  readonly host: string;
  readonly ports: Ports;
  readonly bootstrap: Bootstrap;
  /** Whether other members can exist. */
  readonly isClusterMember: boolean;
  /** Makes etcd remove all other members and continue alone. Default: false. */
  readonly forceNewCluster?: boolean;
  /** Size of the database at which etcd refuses writes. */
  readonly quotaBytes?: number;
  readonly tls: EtcdTlsFiles;
  readonly logger: Logger;
}

/** One etcd process that this server runs, from spawn to exit. `embedded-etcd.ts` restarts it. */
export class EtcdProcess {
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #endpoint: string;
  readonly #lastLines: string[] = [];
  #isRunning = true;
  #wasRemoved = false;

  constructor(options: EtcdProcessOptions) {
    const { program, host, ports, logger } = options;
    this.#endpoint = clientUrl(host, ports);
    const [command, ...args] = killedWithParent([program, ...etcdArguments(options)]);
    // The environment has no ETCD_* variables, which etcd would read as flags. The process does not belong to the process
    // group of the terminal: on Ctrl-C, the server must stop first, because it needs etcd to resign its leadership.
    this.#child = spawn(command, args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env.PATH },
      detached: true,
    });
    this.exited = new Promise((resolve) => {
      // Unlike "exit", "close" follows after the whole log has been read.
      this.#child.once("close", () => resolve());
      this.#child.once("error", () => resolve());
    });
    void this.exited.then(() => {
      this.#isRunning = false;
    });
    this.#forwardLog(logger);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Whether etcd has exited because the cluster has removed this member. */
  get wasRemoved(): boolean {
    return this.#wasRemoved;
  }

  /** The last log lines, for error messages. */
  get lastLogLines(): string {
    return this.#lastLines.join("; ") || "etcd logged nothing";
  }

  /**
   * Returns true once etcd serves requests, and false if it exits or the signal is aborted first. While etcd waits for
   * other members, it accepts connections but does not answer, and later logs an error for each connection that was
   * closed before its answer. A health request therefore has no timeout of its own.
   */
  async waitUntilHealthy(http: EtcdHttpClient, signal: AbortSignal): Promise<boolean> {
    const waiting = linkSignals(signal);
    void this.exited.then(() => waiting.abort());
    try {
      while (!waiting.signal.aborted) {
        if (await isHealthy(this.#endpoint, http, waiting.signal)) return this.#isRunning;
        await delay(HEALTH_POLL_MS);
      }
      return false;
    } finally {
      waiting.unlink();
    }
  }

  /** Stops etcd. Sends SIGKILL if it has not exited after `STOP_TIMEOUT_MS`. */
  async stop(): Promise<void> {
    if (!this.#isRunning) return;
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
    // Unlike its type says, it is undefined if the process could not be spawned for lack of file descriptors.
    if (!stderr) return;
    createInterface({ input: stderr }).on("line", (line) => {
      const text = logEtcdLine(line, logger);
      if (text?.includes(MEMBER_REMOVED_MESSAGE)) this.#wasRemoved = true;
      if (text !== undefined) this.#lastLines.push(text);
      if (this.#lastLines.length > MAX_LAST_LINES) this.#lastLines.shift();
    });
  }
}

function etcdArguments(options: EtcdProcessOptions): readonly string[] {
  const { dataDir, host, ports, bootstrap, isClusterMember, quotaBytes = DEFAULT_QUOTA_BYTES, tls } = options;
  const client = clientUrl(host, ports);
  const peer = peerUrl(host, ports);
  const { heartbeatMs, electionTimeoutMs } = isClusterMember ? CLUSTER_MEMBER_TIMING : SINGLE_MEMBER_TIMING;
  return [
    ["--name", bootstrap.name],
    ["--data-dir", dataDir],
    ["--listen-client-urls", client, "--advertise-client-urls", client],
    ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
    ["--initial-cluster", bootstrap.initialCluster, "--initial-cluster-state", bootstrap.state],
    // berth itself checks that a quorum remains. With this check, etcd adds no learner while any member is down.
    ["--strict-reconfig-check=false"],
    bootstrap.token === undefined ? [] : ["--initial-cluster-token", bootstrap.token],
    // Without pre-vote, a member that was cut off deposes a healthy leader when it returns.
    ["--pre-vote"],
    options.forceNewCluster ? ["--force-new-cluster"] : [],
    ["--auto-compaction-mode", "revision", "--auto-compaction-retention", String(KEPT_REVISIONS)],
    ["--quota-backend-bytes", String(quotaBytes)],
    ["--heartbeat-interval", String(scaleTiming(heartbeatMs))],
    ["--election-timeout", String(scaleTiming(electionTimeoutMs))],
    ["--snapshot-count", String(ENTRIES_PER_SNAPSHOT)],
    ["--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn"],
    tlsArguments(tls),
  ].flat();
}

/**
 * Returns the flags that make etcd require certificates from clients and from other members. etcd reads the certificate
 * and the key again for each new connection, and the authorities only when it starts.
 */
function tlsArguments({ authoritiesFile, certificateFile, keyFile }: EtcdTlsFiles): readonly string[] {
  return [
    ["--trusted-ca-file", authoritiesFile, "--peer-trusted-ca-file", authoritiesFile],
    ["--cert-file", certificateFile, "--peer-cert-file", certificateFile],
    ["--key-file", keyFile, "--peer-key-file", keyFile],
    ["--client-cert-auth", "--peer-client-cert-auth"],
    ["--cipher-suites", CIPHER_SUITES.join(",")],
  ].flat();
}

async function isHealthy(endpoint: string, http: EtcdHttpClient, signal: AbortSignal): Promise<boolean> {
  try {
    return (await http.getStatus(`${endpoint}/health`, signal)) === 200;
  } catch {
    return false;
  }
}

/**
 * Returns a command whose process the kernel kills when the server is killed with SIGKILL. Returns the same command if
 * setpriv from util-linux is not installed.
 */
function killedWithParent(command: readonly [string, ...string[]]): readonly [string, ...string[]] {
  return findProgram("setpriv") === undefined
    ? command
    : ["setpriv", "--pdeathsig", "KILL", "--", ...command];
}
