import { setMaxListeners } from "node:events";
import { scaleTiming } from "@berth/proto";
import { PROBE_PORT, type Probe } from "@berth/proto/probe";
import type { Logger } from "pino";
import type { Ticker } from "../../runtime/ticker.js";
import {
  afterMiss,
  afterReply,
  nextCheckMs,
  type PeerHealth,
  probeIntervalMs,
  silentPeers,
  UNKNOWN_PEER,
  withSilence,
} from "./peer-health.js";

/** Timeout of a probe. Slower responses count as lost. */
const PROBE_TIMEOUT_MS = scaleTiming(300);

export interface PeerWatchOptions {
  readonly probe: Probe;
  readonly ticker: Pick<Ticker, "every">;
  /** Called with the IDs of the nodes that new connections should avoid. */
  readonly onChange: (silent: ReadonlySet<string>) => void;
  readonly log: Logger;
  /** Stops the watch. */
  readonly signal: AbortSignal;
  readonly now?: () => number;
}

/**
 * Probes the hosts to which this host sends connections, several times a second. The ingress process of this host opens
 * no new connections to a dead host, even without a leader.
 */
export class PeerWatch {
  readonly #options: PeerWatchOptions;
  readonly #now: () => number;
  /** Aborted when the watch ends. Each running probe adds a listener to its signal. */
  readonly #stopped = new AbortController();
  #addresses: ReadonlyMap<string, string> = new Map();
  #peers = new Map<string, PeerHealth>();
  readonly #report: SilentPeersReport;
  /** Stops the rounds of probes. */
  #stopRounds: () => void = () => {};
  #intervalMs = 0;
  /** When the next round is due. */
  #nextRoundMs = 0;
  /** Timer of a check between two rounds. */
  #timer: NodeJS.Timeout | undefined;
  #checkedMs = 0;
  /** Peers whose response since the last round is overdue. Their probes are repeated. */
  readonly #unanswered = new Set<string>();

  constructor(options: PeerWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#report = new SilentPeersReport(options);
    setMaxListeners(0, this.#stopped.signal);
    const end = (): void => {
      this.#stop();
      this.#stopped.abort();
    };
    if (options.signal.aborted) {
      end();
    } else {
      options.signal.addEventListener("abort", end, { once: true });
    }
  }

  /**
   * Replaces the watched nodes.
   *
   * @param addresses by node ID
   */
  watch(addresses: ReadonlyMap<string, string>): void {
    if (this.#stopped.signal.aborted) return;
    const peers = new Map<string, PeerHealth>();
    for (const [nodeId, address] of addresses) {
      const isSameAddress = this.#addresses.get(nodeId) === address;
      peers.set(nodeId, (isSameAddress ? this.#peers.get(nodeId) : undefined) ?? UNKNOWN_PEER);
    }
    this.#addresses = addresses;
    this.#peers = peers;
    for (const nodeId of this.#unanswered) {
      if (!peers.has(nodeId)) this.#unanswered.delete(nodeId);
    }
    this.#setInterval(addresses.size === 0 ? 0 : probeIntervalMs(addresses.size));
    this.#reportChange();
  }

  #setInterval(intervalMs: number): void {
    if (intervalMs === this.#intervalMs) return;
    this.#stop();
    this.#intervalMs = intervalMs;
    this.#checkedMs = this.#now();
    if (intervalMs === 0) return;
    this.#stopRounds = this.#options.ticker.every(intervalMs, (lagMs) => this.#startRound(lagMs));
  }

  #stop(): void {
    this.#stopRounds();
    clearTimeout(this.#timer);
  }

  /** Probes all peers. */
  #startRound(lagMs: number): void {
    clearTimeout(this.#timer);
    const nowMs = this.#now();
    this.#nextRoundMs = nowMs + this.#intervalMs;
    this.#updateSilence(nowMs, lagMs);
    const hasOverdue = this.#unanswered.size > 0;
    for (const [nodeId, { answeredMs, isSilent }] of this.#peers) {
      if (answeredMs !== undefined && !isSilent) this.#unanswered.add(nodeId);
      void this.#probe(nodeId);
    }
    this.#checkAt(nowMs + nextCheckMs(this.#intervalMs, hasOverdue));
    this.#reportChange();
  }

  /** Schedules a check between two rounds, which repeats the probes that were not answered. */
  #checkAt(dueMs: number): void {
    if (dueMs >= this.#nextRoundMs) return;
    this.#timer = setTimeout(() => {
      const nowMs = this.#now();
      this.#updateSilence(nowMs, nowMs - dueMs);
      for (const nodeId of this.#unanswered) void this.#probe(nodeId);
      if (this.#unanswered.size > 0) this.#checkAt(nowMs + nextCheckMs(this.#intervalMs, true));
      this.#reportChange();
    }, dueMs - this.#now());
  }

  #updateSilence(nowMs: number, lagMs: number): void {
    const intervalMs = this.#intervalMs;
    // The previous check has already accounted for its lag.
    const freshLagMs = Math.min(lagMs, nowMs - this.#checkedMs);
    this.#checkedMs = nowMs;
    for (const [nodeId, before] of this.#peers) {
      const health = withSilence(before, { nowMs, lagMs: freshLagMs, intervalMs });
      this.#peers.set(nodeId, health);
      if (health.isSilent) this.#unanswered.delete(nodeId);
    }
  }

  async #probe(nodeId: string): Promise<void> {
    const { signal } = this.#stopped;
    const address = this.#addresses.get(nodeId) ?? "";
    const target = { address, port: PROBE_PORT, tries: 1, tryMs: PROBE_TIMEOUT_MS };
    const isAnswered = await this.#options.probe(target, signal);
    const health = this.#peers.get(nodeId);
    if (health === undefined || signal.aborted || this.#addresses.get(nodeId) !== address) return;
    this.#peers.set(nodeId, isAnswered ? afterReply(health, this.#now()) : afterMiss(health));
    if (isAnswered) this.#recordReply(nodeId);
    if (health.isSilent) this.#reportChange();
  }

  /** Cancels the check between two rounds once all peers have answered. */
  #recordReply(nodeId: string): void {
    if (this.#unanswered.delete(nodeId) && this.#unanswered.size === 0) clearTimeout(this.#timer);
  }

  #reportChange(): void {
    this.#report.update(this.#peers, this.#addresses);
  }
}

/** Reports changes of the set of silent peers, to the log and to `onChange`. */
class SilentPeersReport {
  readonly #options: Pick<PeerWatchOptions, "onChange" | "log">;
  #silent: ReadonlySet<string> = new Set();

  constructor(options: Pick<PeerWatchOptions, "onChange" | "log">) {
    this.#options = options;
  }

  update(peers: ReadonlyMap<string, PeerHealth>, addresses: ReadonlyMap<string, string>): void {
    const { onChange, log } = this.#options;
    const silentNodeIds = silentPeers(peers, this.#silent);
    const fallenSilent = difference(silentNodeIds, this.#silent);
    const recovered = difference(this.#silent, silentNodeIds);
    if (fallenSilent.length === 0 && recovered.length === 0) return;
    this.#silent = silentNodeIds;
    for (const peer of fallenSilent) {
      log.info({ peer, address: addresses.get(peer) }, "peer is silent; new connections avoid it");
    }
    for (const peer of recovered) log.info({ peer, address: addresses.get(peer) }, "peer responds again");
    onChange(silentNodeIds);
  }
}

function difference(from: ReadonlySet<string>, others: ReadonlySet<string>): readonly string[] {
  return [...from].filter((nodeId) => !others.has(nodeId));
}
