import { setTimeout as delay } from "node:timers/promises";
import { BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../../runtime/abort.js";
import {
  clientUrl,
  clientUrls,
  type EtcdCluster,
  isReplacement,
  lostData,
  MEMBER_PORTS,
  requireSameMembers,
} from "./cluster.js";
import { DataDir, type Ports } from "./data-dir.js";
import { EtcdProcess, requireEtcd } from "./etcd-process.js";
import { choosePorts, requireFree } from "./free-ports.js";

/** Replaying a long log from a slow disk takes a while; an etcd that waits for a lock waits for ever. */
const START_TIMEOUT_MS = 30_000;

/** A member of a cluster answers once most of the others run: after a power cut hosts come up one after the other. */
const CLUSTER_START_TIMEOUT_MS = 10 * 60_000;
const SAY_WAITING_AFTER_MS = 3_000;

/** The first restart is at once; an etcd that keeps dying does not get to eat a core. */
const MAX_RESTART_DELAY_MS = 5_000;
const FIRST_RESTART_DELAY_MS = 100;

/** An etcd that ran for this long has recovered: the next restart is at once again. */
const STEADY_MS = 10_000;

export interface EmbeddedEtcdOptions {
  /** Made if absent. Holds all of the cluster's state. */
  readonly dataDir: string;
  /** Loopback when absent: whoever reaches this address can read and write everything. */
  readonly listenHost?: string;
  /** Those of the last run when absent, if they are free, else any. */
  readonly ports?: Ports;
  /** The servers whose etcds this one joins; a cluster has fixed ports, on the address `self`. Absent: an etcd alone. */
  readonly cluster?: EtcdCluster | undefined;
  readonly logger: Logger;
  /** The etcd program, found on the PATH when absent. */
  readonly program?: string;
}

export interface EmbeddedEtcd {
  /** Our own first, then those of the cluster's other members. */
  readonly endpoints: readonly [string, ...string[]];
  /** Resolves when etcd is down for good. */
  readonly exited: Promise<void>;
  /** Ends etcd and its supervision, and frees the data folder. */
  stop(): Promise<void>;
}

/**
 * Starts an etcd of our own and keeps it running, on the same ports, until it is stopped or `signal` aborts.
 * Every write is on the disk before it is answered (one fsync for all that arrive together: its time is the latency of
 * a write), so etcd and the server may be killed at any moment.
 * @throws BerthError BERTH_ETCD_MISSING, BERTH_ETCD_DATA_LOCKED, BERTH_ADDRESS_IN_USE, BERTH_INPUT_INVALID for the
 *         data of other members, or BERTH_ETCD_FAILED if it does not come up
 */
export async function startEmbeddedEtcd(
  options: EmbeddedEtcdOptions,
  signal: AbortSignal,
): Promise<EmbeddedEtcd> {
  const program = options.program ?? "etcd";
  requireEtcd(program);
  const dir = await DataDir.claim(options.dataDir);
  try {
    requireSameMembers(dir.path, dir.members, options.cluster);
    const { cluster } = options;
    const host = cluster?.self ?? options.listenHost ?? "127.0.0.1";
    const fixed = options.ports ?? (cluster && MEMBER_PORTS);
    const ports = fixed ? await requireFree(host, fixed) : await choosePorts(host, dir.ports);
    const replaces = cluster !== undefined && (await isReplacement(cluster, dir.path));
    const supervisor = new Supervisor({ ...options, program, host, ports, dir, isReplacement: replaces });
    await supervisor.start(signal);
    return supervisor;
  } catch (error) {
    dir.release();
    throw error;
  }
}

interface SupervisorOptions extends EmbeddedEtcdOptions {
  readonly program: string;
  readonly host: string;
  readonly ports: Ports;
  readonly dir: DataDir;
  readonly isReplacement: boolean;
}

class Supervisor implements EmbeddedEtcd {
  readonly endpoints: readonly [string, ...string[]];
  readonly exited: Promise<void>;
  readonly #options: SupervisorOptions;
  readonly #stopping = new AbortController();
  #etcd: EtcdProcess | undefined;
  #resolveExited: () => void = () => {};

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { cluster, host, ports } = options;
    this.endpoints = cluster ? clientUrls(cluster) : [clientUrl(host, ports)];
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const etcd = this.#spawn();
    const forget = onAbort(signal, () => this.#stopping.abort());
    if (!(await this.#comesUp(etcd))) {
      forget();
      etcd.kill();
      await etcd.exited;
      signal.throwIfAborted();
      throw this.#startFailure(etcd);
    }
    void this.#supervise(etcd).finally(forget);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.exited;
  }

  #spawn(): EtcdProcess {
    const { dir, ports, host, logger, program, cluster, isReplacement } = this.#options;
    const membership = cluster && { ...cluster, isReplacement };
    const etcd = new EtcdProcess({ program, dataDir: dir.path, host, ports, cluster: membership, logger });
    this.#etcd = etcd;
    try {
      if (etcd.pid !== undefined) dir.record(etcd.pid, ports, cluster?.members ?? []);
    } catch (cause) {
      logger.warn(
        { cause },
        "etcd runs, but its process could not be noted in the data folder; is the disk full?",
      );
    }
    return etcd;
  }

  async #comesUp(etcd: EtcdProcess): Promise<boolean> {
    const { cluster, logger } = this.#options;
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(), cluster ? CLUSTER_START_TIMEOUT_MS : START_TIMEOUT_MS);
    const sayWaiting = (): void =>
      logger.info({ members: cluster?.members }, "waiting until most of the cluster's servers run");
    const waiting = cluster && setTimeout(sayWaiting, SAY_WAITING_AFTER_MS);
    const forget = onAbort(this.#stopping.signal, () => giveUp.abort());
    try {
      return await etcd.becomesHealthy(giveUp.signal);
    } finally {
      clearTimeout(timer);
      clearTimeout(waiting);
      forget();
    }
  }

  /** Runs until stopping: waits for the process to exit, then starts it again. */
  async #supervise(first: EtcdProcess): Promise<void> {
    const { logger } = this.#options;
    const onExit = (): void => this.#etcd?.kill();
    process.once("exit", onExit);
    let etcd = first;
    let restartDelayMs = 0;
    for (;;) {
      const startedAtMs = performance.now();
      await this.#exitOrStop(etcd);
      if (this.#stopping.signal.aborted) break;
      if (performance.now() - startedAtMs > STEADY_MS) restartDelayMs = 0;
      logger.error({ restartDelayMs, lastWords: etcd.lastWords }, "etcd died; it is started again");
      await delay(restartDelayMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
      if (this.#stopping.signal.aborted) break;
      restartDelayMs = Math.min(Math.max(restartDelayMs * 2, FIRST_RESTART_DELAY_MS), MAX_RESTART_DELAY_MS);
      etcd = this.#spawn();
    }
    await etcd.stop();
    process.off("exit", onExit);
    this.#release();
    this.#resolveExited();
  }

  /** A claim that cannot be given up is not in the way: its owner is about to be gone. */
  #release(): void {
    try {
      this.#options.dir.release();
    } catch (cause) {
      this.#options.logger.warn({ cause }, "the claim on the data folder could not be removed");
    }
  }

  #exitOrStop(etcd: EtcdProcess): Promise<void> {
    return new Promise((resolve) => {
      const forget = onAbort(this.#stopping.signal, resolve);
      void etcd.exited.then(() => {
        forget();
        resolve();
      });
    });
  }

  #startFailure(etcd: EtcdProcess): BerthError {
    const { dir, cluster } = this.#options;
    const { path } = dir;
    const details = { dataDir: path };
    if (cluster !== undefined && /already been bootstrapped/.test(etcd.lastWords))
      return lostData(cluster, path);
    if (/file lock|already locked/i.test(etcd.lastWords)) {
      const message = `The etcd data in ${path} is in use by another process. Stop it, or give this server another --data-dir.`;
      return new BerthError({ code: "BERTH_ETCD_DATA_LOCKED", message, details });
    }
    const message = `etcd did not come up on ${path}: ${etcd.lastWords}.`;
    return new BerthError({ code: "BERTH_ETCD_FAILED", message, details });
  }
}
