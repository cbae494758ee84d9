import { setMaxListeners } from "node:events";
import { PROBE_PORT, type Probe } from "@berth/proto";
import type { Logger } from "pino";
import {
  afterAnswer,
  afterMiss,
  isOverdue,
  judged,
  nextLookMs,
  type PeerHealth,
  probeIntervalMs,
  silentPeers,
  UNKNOWN_PEER,
} from "../core/peers/peer-health.js";

/** An answer that takes longer says that something is wrong on the way. */
const ANSWER_TIMEOUT_MS = 300;

export interface PeerWatchOptions {
  readonly probe: Probe;
  /** Ids of the nodes that new connections are to avoid from now on. */
  readonly onChange: (silent: ReadonlySet<string>) => void;
  readonly log: Logger;
  /** Ends the watch. */
  readonly signal: AbortSignal;
  readonly now?: () => number;
}

/**
 * Asks the kernels of the hosts that connections go to, several times a second, so that a host that died loses its
 * traffic by this host's own decision, whether or not a leader is there to say so.
 */
export class PeerWatch {
  readonly #options: PeerWatchOptions;
  readonly #now: () => number;
  /** Has a listener for each probe under way. */
  readonly #over = new AbortController();
  #addresses: ReadonlyMap<string, string> = new Map();
  #peers = new Map<string, PeerHealth>();
  #silent: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #intervalMs = 0;
  /** When everybody is asked again. */
  #roundMs = 0;
  /** When the timer is to fire. */
  #dueMs = 0;

  constructor(options: PeerWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    setMaxListeners(0, this.#over.signal);
    const end = (): void => {
      clearTimeout(this.#timer);
      this.#over.abort();
    };
    if (options.signal.aborted) end();
    else options.signal.addEventListener("abort", end, { once: true });
  }

  /** Watches these nodes alone, by their addresses. */
  watch(addresses: ReadonlyMap<string, string>): void {
    if (this.#over.signal.aborted) return;
    const peers = new Map<string, PeerHealth>();
    for (const [nodeId, address] of addresses) {
      const isKnown = this.#addresses.get(nodeId) === address;
      peers.set(nodeId, (isKnown ? this.#peers.get(nodeId) : undefined) ?? UNKNOWN_PEER);
    }
    this.#addresses = addresses;
    this.#peers = peers;
    this.#setInterval(addresses.size === 0 ? 0 : probeIntervalMs(addresses.size));
    this.#tellChange();
  }

  #setInterval(intervalMs: number): void {
    if (intervalMs === this.#intervalMs) return;
    clearTimeout(this.#timer);
    this.#intervalMs = intervalMs;
    if (intervalMs === 0) return;
    this.#roundMs = this.#now() + intervalMs;
    this.#lookAt(this.#roundMs);
  }

  #lookAt(dueMs: number): void {
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => this.#look(), dueMs - this.#now());
  }

  /** Asks everybody once an interval, and in between, again and again, those that owe an answer. */
  #look(): void {
    const [nowMs, intervalMs] = [this.#now(), this.#intervalMs];
    const lagMs = nowMs - this.#dueMs;
    const isRound = nowMs >= this.#roundMs;
    if (isRound) this.#roundMs = nowMs + intervalMs;
    let hasOverdue = false;
    for (const [nodeId, before] of this.#peers) {
      const health = judged(before, { nowMs, lagMs, intervalMs });
      this.#peers.set(nodeId, health);
      const owes = isOverdue(health, { nowMs, intervalMs });
      hasOverdue ||= owes;
      if (isRound || owes) void this.#ask(nodeId, this.#addresses.get(nodeId) ?? "");
    }
    const looksAgain = isRound || hasOverdue;
    const nextMs = looksAgain ? nowMs + nextLookMs(intervalMs, hasOverdue) : this.#roundMs;
    this.#lookAt(Math.min(this.#roundMs, nextMs));
    this.#tellChange();
  }

  async #ask(nodeId: string, address: string): Promise<void> {
    const { signal } = this.#over;
    const target = { address, port: PROBE_PORT, tries: 1, tryMs: ANSWER_TIMEOUT_MS };
    const isAnswered = await this.#options.probe(target, signal);
    const health = this.#peers.get(nodeId);
    if (health === undefined || signal.aborted || this.#addresses.get(nodeId) !== address) return;
    this.#peers.set(nodeId, isAnswered ? afterAnswer(health, this.#now()) : afterMiss(health));
    if (health.isSilent) this.#tellChange();
  }

  #tellChange(): void {
    const before = this.#silent;
    const silent = silentPeers(this.#peers);
    if (silent.size === before.size && [...silent].every((nodeId) => before.has(nodeId))) return;
    this.#silent = silent;
    for (const nodeId of silent) {
      if (!before.has(nodeId)) this.#log(nodeId, "a host is silent: it gets no new connections from here");
    }
    for (const nodeId of before) {
      if (!silent.has(nodeId)) this.#log(nodeId, "a host gets new connections from here again");
    }
    this.#options.onChange(silent);
  }

  #log(nodeId: string, message: string): void {
    this.#options.log.info({ peer: nodeId, address: this.#addresses.get(nodeId) }, message);
  }
}
