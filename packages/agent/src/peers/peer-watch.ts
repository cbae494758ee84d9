import { setMaxListeners } from "node:events";
import { PROBE_PORT, type Probe } from "@berth/proto";
import type { Logger } from "pino";
import {
  afterAnswer,
  afterMiss,
  judged,
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
  #dueMs = 0;

  constructor(options: PeerWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    setMaxListeners(0, this.#over.signal);
    const end = (): void => {
      clearInterval(this.#timer);
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
    clearInterval(this.#timer);
    this.#intervalMs = intervalMs;
    if (intervalMs === 0) return;
    this.#dueMs = this.#now() + intervalMs;
    this.#timer = setInterval(() => this.#tick(), intervalMs);
  }

  #tick(): void {
    const nowMs = this.#now();
    const lagMs = nowMs - this.#dueMs;
    this.#dueMs = nowMs + this.#intervalMs;
    for (const [nodeId, health] of this.#peers) {
      this.#peers.set(nodeId, judged(health, { nowMs, lagMs, intervalMs: this.#intervalMs }));
      void this.#ask(nodeId, this.#addresses.get(nodeId) ?? "");
    }
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
