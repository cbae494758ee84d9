import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { BerthError, describeFileError, isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { abortable, onAbort } from "../../runtime/abort.js";
import { Backoff } from "../../runtime/backoff.js";
import { Notifier } from "../../runtime/notifier.js";
import type { EtcdTlsFiles } from "../etcd-tls.js";
import type { Bootstrap } from "./cluster.js";
import type { DataDir, Ports } from "./data-dir.js";
import { explainFault, type RecoveryPath } from "./etcd-fault.js";
import type { EtcdHttpClient } from "./etcd-http.js";
import { EtcdProcess } from "./etcd-process.js";
import { holdPorts } from "./free-ports.js";

/**
 * Timeout for the start of a single member, which may have to replay a long log from a slow disk. etcd itself waits for
 * a file lock without a limit.
 */
const START_TIMEOUT_MS = 30_000;

/**
 * Timeout for the start of one of several members. A member responds only while a quorum is running, and after a power
 * cut the hosts boot at different times.
 */
const CLUSTER_START_TIMEOUT_MS = 10 * 60_000;

/** Time after which the server logs that it is waiting for etcd. */
const LOG_WAITING_AFTER_MS = 3_000;

/**
 * Delay before the second restart; the first one is immediate. The back-off limits the load of an etcd that keeps
 * crashing.
 */
const FIRST_RESTART_DELAY_MS = 100;

/** Longest delay before a restart. */
const MAX_RESTART_DELAY_MS = 5_000;

/** Running time after which etcd counts as stable: its next restart is immediate again. */
const STABLE_AFTER_MS = 10_000;

export interface SupervisorOptions {
  readonly program: string;
  readonly host: string;
  readonly ports: Ports;
  readonly dir: DataDir;
  readonly bootstrap: Bootstrap;
  /** Addresses of all known members; empty for a member that other servers cannot join. */
  readonly members: readonly string[];
  /** Whether this server rejoins the others automatically when it has no data. */
  readonly canRejoin: boolean;
  readonly quotaBytes?: number;
  readonly tls: EtcdTlsFiles;
  readonly logger: Logger;
}

/** Runs the etcd process and restarts it when it exits. */
export class EtcdSupervisor {
  readonly exited: Promise<BerthError | undefined>;
  readonly #options: SupervisorOptions;
  readonly #stopping = new AbortController();
  #members: readonly string[];
  #etcd: EtcdProcess | undefined;
  #problem: string | undefined;
  /** The process that ends because of a call of `restart`. */
  #replaced: EtcdProcess | undefined;
  readonly #spawned = new Notifier();
  #authorities = "";
  #resolveExited: (failure?: BerthError) => void = () => {};

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#members = options.members;
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
  }

  /** Whether the last etcd process has exited because the cluster has removed this member. */
  get wasRemoved(): boolean {
    return this.#etcd?.wasRemoved ?? false;
  }

  /** Reason why etcd keeps exiting, with the remedy. Undefined while etcd runs. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** The CA certificates that the running etcd has read, in PEM. */
  get authorities(): string {
    return this.#authorities;
  }

  /**
   * Starts etcd, and returns when it serves requests.
   *
   * @throws BerthError if it does not start
   */
  async start(http: EtcdHttpClient, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const etcd = this.#spawn();
    const removeListener = onAbort(signal, () => this.#stopping.abort());
    if (!(await this.#waitUntilHealthy(etcd, http))) {
      removeListener();
      etcd.kill();
      await etcd.exited;
      signal.throwIfAborted();
      throw this.#startFailure(etcd);
    }
    this.#record("that etcd has served", () => this.#options.dir.recordServed());
    void this.#supervise(etcd).finally(removeListener);
  }

  /** Stops etcd and releases the data directory. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.exited;
  }

  /**
   * Restarts etcd, and returns when it serves requests again. It is killed, which is safe for its data: on SIGTERM, it
   * would first wait for its open watches.
   *
   * @throws BerthError BERTH_ETCD_FAILED if it does not serve requests, BERTH_ADDRESS_IN_USE if it lost its port
   */
  async restart(http: EtcdHttpClient, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const etcd = this.#etcd;
    if (etcd === undefined) throw new Error("etcd has not been started");
    this.#replaced = etcd;
    const spawned = this.#spawned.wait(this.#stopping.signal);
    etcd.kill();
    // The supervision ends instead when another process has taken a port.
    const failure = await abortable(Promise.race([spawned, this.exited]), signal);
    if (failure !== undefined) throw failure;
    const next = this.#etcd ?? etcd;
    const isHealthy = next !== etcd && (await this.#waitUntilHealthy(next, http, signal));
    signal.throwIfAborted();
    if (!isHealthy) throw this.#startFailure(next);
  }

  /** Records the addresses of all members in the data directory. */
  recordMembers(members: readonly string[]): void {
    this.#members = members;
    this.#record("the etcd members", () => this.#options.dir.recordMembers(members));
  }

  /** Writes to the data directory. etcd itself reports a full disk, so a failure is only logged. */
  #record(subject: string, write: () => void): void {
    const { dir, logger } = this.#options;
    try {
      write();
    } catch (error) {
      logger.warn(`cannot record ${subject}: ${describeFileError(error, dir.path)}`);
    }
  }

  /** Starts etcd and records its pid in the data directory. */
  #spawn(): EtcdProcess {
    const { dir, ports, tls } = this.#options;
    const isClusterMember = this.#members.length > 0;
    // Read before the start: if the file is replaced meanwhile, etcd trusts newer authorities than this server
    // registers.
    this.#authorities = readFileSync(tls.authoritiesFile, "utf8");
    const etcd = new EtcdProcess({ ...this.#options, dataDir: dir.path, isClusterMember });
    this.#etcd = etcd;
    const { pid } = etcd;
    if (pid !== undefined) {
      this.#record("the etcd process", () => dir.recordProcess(pid, { ports, members: this.#members }));
    }
    this.#spawned.notifyAll();
    return etcd;
  }

  /** Waits until etcd serves requests. Returns false if etcd exits, takes too long, or is stopped. */
  async #waitUntilHealthy(
    etcd: EtcdProcess,
    http: EtcdHttpClient,
    signal: AbortSignal = this.#stopping.signal,
  ): Promise<boolean> {
    const { logger } = this.#options;
    const members = this.#members;
    const hasOthers = members.length > 1;
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), hasOthers ? CLUSTER_START_TIMEOUT_MS : START_TIMEOUT_MS);
    const logWaiting = (): void => logger.info({ members }, "waiting for a quorum of the etcd members");
    const waiting = hasOthers ? setTimeout(logWaiting, LOG_WAITING_AFTER_MS) : undefined;
    const removeListeners = [this.#stopping.signal, signal].map((parent) =>
      onAbort(parent, () => timeout.abort()),
    );
    try {
      return await etcd.waitUntilHealthy(http, timeout.signal);
    } finally {
      clearTimeout(timer);
      clearTimeout(waiting);
      for (const removeListener of removeListeners) removeListener();
    }
  }

  /**
   * Restarts etcd whenever it exits, until it is stopped. Holds the ports until then: clients would take another process
   * that listens on them for etcd. Gives up when another process has taken a port, or when the cluster has removed the
   * member.
   */
  async #supervise(first: EtcdProcess): Promise<void> {
    const { logger } = this.#options;
    const onExit = (): void => this.#etcd?.kill();
    process.once("exit", onExit);
    let etcd = first;
    const backoff = new Backoff({ firstMs: FIRST_RESTART_DELAY_MS, maxMs: MAX_RESTART_DELAY_MS });
    // The first restart is immediate.
    let restartDelayMs = 0;
    let failure: BerthError | undefined;
    for (;;) {
      const startedAtMs = performance.now();
      await this.#untilExitOrStop(etcd);
      if (this.#stopping.signal.aborted) break;
      if (performance.now() - startedAtMs > STABLE_AFTER_MS) {
        backoff.reset();
        restartDelayMs = 0;
      }
      if (etcd.wasRemoved) {
        failure = this.#startFailure(etcd);
        break;
      }
      const isReplaced = etcd === this.#replaced;
      if (isReplaced) {
        logger.info("restarting etcd");
        restartDelayMs = 0;
      } else {
        this.#problem = this.#explain(etcd);
        logger.error({ restartDelayMs, problem: this.#problem }, "etcd exited; restarting");
      }
      const freePorts = await this.#holdPorts();
      if (isBerthError(freePorts)) {
        failure = freePorts;
        break;
      }
      // The signal is checked below, after the ports were released.
      await delay(restartDelayMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
      await freePorts();
      if (this.#stopping.signal.aborted) break;
      restartDelayMs = backoff.nextMs();
      etcd = this.#spawn();
      this.#forgetProblemOnceStable(etcd);
    }
    await etcd.stop();
    process.off("exit", onExit);
    this.#release();
    this.#resolveExited(failure);
  }

  #forgetProblemOnceStable(etcd: EtcdProcess): void {
    const timer = setTimeout(() => {
      this.#problem = undefined;
    }, STABLE_AFTER_MS);
    void etcd.exited.then(() => clearTimeout(timer));
  }

  #explain(etcd: EtcdProcess): string {
    const { dir } = this.#options;
    return explainFault({ dataDir: dir.path, logLines: etcd.lastLogLines, copies: this.#recoveryPath });
  }

  get #recoveryPath(): RecoveryPath {
    if (this.#members.length <= 1) return "none";
    return this.#options.canRejoin ? "rejoin" : "join-with-token";
  }

  /** Holds the ports, or returns why it cannot. */
  #holdPorts(): Promise<(() => Promise<void>) | BerthError> {
    const { host, ports, logger } = this.#options;
    return holdPorts(host, ports).catch((error: BerthError) => {
      logger.fatal({ err: error }, "cannot restart etcd");
      return error;
    });
  }

  /** Releases the data directory. After a failure, the claim becomes invalid when this process exits. */
  #release(): void {
    this.#record("the end of the server", () => this.#options.dir.release());
  }

  #untilExitOrStop(etcd: EtcdProcess): Promise<void> {
    return new Promise((resolve) => {
      const removeListener = onAbort(this.#stopping.signal, resolve);
      void etcd.exited.then(() => {
        removeListener();
        resolve();
      });
    });
  }

  #startFailure(etcd: EtcdProcess): BerthError {
    const { dir } = this.#options;
    const { path } = dir;
    const details = { dataDir: path };
    if (etcd.wasRemoved) {
      // Without a vote, the member is only a copy, and the server can join again.
      const code = dir.isJoining ? "BERTH_ETCD_FAILED" : "BERTH_SERVER_REMOVED";
      const message =
        "the other servers have removed the etcd member of this server, which no longer accepts calls; to add this " +
        `host again, remove ${path} and run "berth server join" with a new token`;
      return new BerthError({ code, message, details });
    }
    if (/file lock|already locked/i.test(etcd.lastLogLines)) {
      const message = `etcd data in ${path} is in use by another process; stop it or use another --data-dir`;
      return new BerthError({ code: "BERTH_ETCD_DATA_LOCKED", message, details });
    }
    const message = `etcd did not start: ${this.#explain(etcd)}`;
    return new BerthError({ code: "BERTH_ETCD_FAILED", message, details });
  }
}
