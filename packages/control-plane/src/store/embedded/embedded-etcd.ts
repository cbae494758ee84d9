import { setTimeout as delay } from "node:timers/promises";
import { BerthError, isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../../runtime/abort.js";
import { Backoff } from "../../runtime/backoff.js";
import { type EtcdTls, type EtcdTlsFiles, readEtcdTls, requireAddress, schemeOf } from "../etcd-tls.js";
import {
  type ClusterAccess,
  clientUrl,
  clientUrls,
  type EtcdCluster,
  isReplacementMember,
  lostData,
  MEMBER_PORTS,
  requireSameMembers,
  requireSameScheme,
} from "./cluster.js";
import { DataDir, type Ports } from "./data-dir.js";
import { EtcdHttpClient } from "./etcd-http.js";
import { EtcdProcess, requireEtcd } from "./etcd-process.js";
import { choosePorts, holdPorts, requireFree } from "./free-ports.js";

/** Allows etcd to replay a long log from a slow disk. etcd waits without a limit for a file lock. */
const START_TIMEOUT_MS = 30_000;

/** A member answers only while a majority runs, and after a power cut the hosts boot at different times. */
const CLUSTER_START_TIMEOUT_MS = 10 * 60_000;
const LOG_WAITING_AFTER_MS = 3_000;

/** The first restart is immediate; the back-off limits the load of an etcd that keeps crashing. */
const FIRST_RESTART_DELAY_MS = 100;
const MAX_RESTART_DELAY_MS = 5_000;

/** An etcd that ran this long counts as stable; its next restart is immediate again. */
const STABLE_AFTER_MS = 10_000;

export interface EmbeddedEtcdOptions {
  /** Holds the whole state of the cluster. Created if missing. */
  readonly dataDir: string;
  /** Without TLS, every client that reaches this address can read and write all data. @default loopback */
  readonly listenHost?: string;
  /** @default the ports of the last run if they are free, or else two free ports */
  readonly ports?: Ports;
  /** The cluster that this member belongs to, with fixed ports on the address `self`. Undefined for a single member. */
  readonly cluster?: EtcdCluster | undefined;
  /**
   * The certificate of this server's member. Every client and member with a certificate of these authorities has access,
   * so they must not issue certificates for anything else. Undefined for an etcd without TLS.
   */
  readonly tls?: EtcdTlsFiles | undefined;
  readonly logger: Logger;
  /** The etcd executable; found on PATH by default. */
  readonly program?: string;
}

export interface EmbeddedEtcd {
  /** The client URLs of all members, starting with this one. */
  readonly endpoints: readonly [string, ...string[]];
  /** Resolves when etcd has stopped and is not restarted: after `stop`, or with the reason when it cannot be restarted. */
  readonly exited: Promise<BerthError | undefined>;
  /** Stops etcd and releases the data directory. */
  stop(): Promise<void>;
}

/**
 * Starts an embedded etcd and restarts it on the same ports until it is stopped or `signal` aborts. etcd syncs every write
 * to disk before it answers, with one fsync for concurrent writes, so etcd and the server can be killed at any time.
 * @throws BerthError BERTH_ETCD_MISSING, BERTH_ETCD_DATA_LOCKED, BERTH_ADDRESS_IN_USE, BERTH_IDENTITY_INVALID for
 *         unusable TLS files, BERTH_INPUT_INVALID for the data of another cluster, or BERTH_ETCD_FAILED if it does not start
 */
export async function startEmbeddedEtcd(
  options: EmbeddedEtcdOptions,
  signal: AbortSignal,
): Promise<EmbeddedEtcd> {
  const program = options.program ?? "etcd";
  requireEtcd(program);
  const { cluster } = options;
  const host = cluster?.self ?? options.listenHost ?? "127.0.0.1";
  const http = new EtcdHttpClient(options.tls && (await readMemberTls(options.tls, host)));
  const dir = await DataDir.claim(options.dataDir);
  try {
    const scheme = schemeOf(options.tls);
    requireSameMembers(dir.path, dir.members, cluster);
    if (cluster !== undefined) requireSameScheme(dir.path, dir.scheme, scheme);
    const fixedPorts = options.ports ?? (cluster && MEMBER_PORTS);
    const ports = fixedPorts ? await requireFree(host, fixedPorts) : await choosePorts(host, dir.ports);
    const access: ClusterAccess = { scheme, http };
    const isReplacement = cluster !== undefined && (await isReplacementMember(cluster, dir.path, access));
    const supervisor = new Supervisor({ ...options, program, host, ports, dir, isReplacement });
    await supervisor.start(http, signal);
    return supervisor;
  } catch (error) {
    dir.release();
    throw error;
  } finally {
    http.close();
  }
}

async function readMemberTls(files: EtcdTlsFiles, host: string): Promise<EtcdTls> {
  const tls = await readEtcdTls(files, Date.now());
  requireAddress(files, tls, host);
  return tls;
}

interface SupervisorOptions extends EmbeddedEtcdOptions {
  readonly program: string;
  readonly host: string;
  readonly ports: Ports;
  readonly dir: DataDir;
  readonly isReplacement: boolean;
}

/** Runs the etcd process and restarts it when it exits. */
class Supervisor implements EmbeddedEtcd {
  readonly endpoints: readonly [string, ...string[]];
  readonly exited: Promise<BerthError | undefined>;
  readonly #options: SupervisorOptions;
  readonly #stopping = new AbortController();
  #etcd: EtcdProcess | undefined;
  #resolveExited: (failure?: BerthError) => void = () => {};

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { cluster, host, ports, tls } = options;
    const scheme = schemeOf(tls);
    this.endpoints = cluster ? clientUrls(scheme, cluster) : [clientUrl(scheme, host, ports)];
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
  }

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
    void this.#supervise(etcd).finally(removeListener);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.exited;
  }

  /** Starts etcd and records its pid in the data directory. */
  #spawn(): EtcdProcess {
    const { dir, ports, host, logger, program, cluster, isReplacement, tls } = this.#options;
    const membership = cluster && { ...cluster, isReplacement };
    const etcd = new EtcdProcess({
      program,
      dataDir: dir.path,
      host,
      ports,
      cluster: membership,
      tls,
      logger,
    });
    this.#etcd = etcd;
    try {
      const record = { ports, members: cluster?.members ?? [], scheme: schemeOf(tls) };
      if (etcd.pid !== undefined) dir.recordProcess(etcd.pid, record);
    } catch (cause) {
      logger.warn(
        { cause },
        "failed to record the etcd process in the data directory; check for a full disk",
      );
    }
    return etcd;
  }

  /** Waits until etcd serves requests. Returns false if etcd exits, takes too long, or is stopped. */
  async #waitUntilHealthy(etcd: EtcdProcess, http: EtcdHttpClient): Promise<boolean> {
    const { cluster, logger } = this.#options;
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), cluster ? CLUSTER_START_TIMEOUT_MS : START_TIMEOUT_MS);
    const logWaiting = (): void =>
      logger.info({ members: cluster?.members }, "waiting for a majority of the etcd members");
    const waiting = cluster && setTimeout(logWaiting, LOG_WAITING_AFTER_MS);
    const removeListener = onAbort(this.#stopping.signal, () => timeout.abort());
    try {
      return await etcd.waitUntilHealthy(http, timeout.signal);
    } finally {
      clearTimeout(timer);
      clearTimeout(waiting);
      removeListener();
    }
  }

  /**
   * Restarts etcd whenever it exits, until it is stopped. Holds the ports until then: clients would take another process
   * that listens on them for etcd. Gives up when another process has taken a port.
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
      logger.error({ restartDelayMs, lastLogLines: etcd.lastLogLines }, "etcd exited; restarting");
      const freePorts = await this.#holdPorts();
      if (isBerthError(freePorts)) {
        failure = freePorts;
        break;
      }
      await delay(restartDelayMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
      await freePorts();
      if (this.#stopping.signal.aborted) break;
      restartDelayMs = backoff.nextMs();
      etcd = this.#spawn();
    }
    await etcd.stop();
    process.off("exit", onExit);
    this.#release();
    this.#resolveExited(failure);
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
    try {
      this.#options.dir.release();
    } catch (cause) {
      this.#options.logger.warn({ cause }, "failed to release the data directory");
    }
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
    const { dir, cluster, tls } = this.#options;
    const { path } = dir;
    const details = { dataDir: path };
    if (cluster !== undefined && /already been bootstrapped/.test(etcd.lastLogLines)) {
      return lostData(cluster, path, tls);
    }
    if (/file lock|already locked/i.test(etcd.lastLogLines)) {
      const message = `etcd data in ${path} is in use by another process: stop it or use another --data-dir`;
      return new BerthError({ code: "BERTH_ETCD_DATA_LOCKED", message, details });
    }
    const message = `etcd did not start with the data in ${path}: ${etcd.lastLogLines}`;
    return new BerthError({ code: "BERTH_ETCD_FAILED", message, details });
  }
}
