import { setMaxListeners } from "node:events";
import { PROBE_PORT, type Probe } from "@berth/proto/probe";
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
} from "../../core/peers/peer-health.js";
import type { Ticker } from "../../runtime/ticker.js";

/** An answer that takes longer says that something is wrong on the way. */
const ANSWER_TIMEOUT_MS = 300;

export interface PeerWatchOptions {
  readonly probe: Probe;
  readonly pulse: Pick<Ticker, "every">;
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
  /** Ends the rounds in which everybody is asked. */
  #stopRounds: () => void = () => {};
  #intervalMs = 0;
  /** When everybody is asked again. */
  #roundMs = 0;
  /** For a look in between. */
  #timer: NodeJS.Timeout | undefined;
  #lookedMs = 0;
  /** Those whose answer to the last round is waited for. */
  readonly #owing = new Set<string>();

  constructor(options: PeerWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    setMaxListeners(0, this.#over.signal);
    const end = (): void => {
      this.#stop();
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
    this.#stop();
    this.#intervalMs = intervalMs;
    this.#lookedMs = this.#now();
    if (intervalMs === 0) return;
    this.#stopRounds = this.#options.pulse.every(intervalMs, (lagMs) => this.#round(lagMs));
  }

  #stop(): void {
    this.#stopRounds();
    clearTimeout(this.#timer);
  }

  /** Asks everybody. */
  #round(lagMs: number): void {
    clearTimeout(this.#timer);
    const nowMs = this.#now();
    this.#roundMs = nowMs + this.#intervalMs;
    this.#owing.clear();
    for (const [nodeId, { answeredMs, isSilent }] of this.#peers) {
      if (answeredMs !== undefined && !isSilent) this.#owing.add(nodeId);
    }
    const hasOverdue = this.#judge({ nowMs, lagMs, isRound: true });
    this.#lookAt(nowMs + nextLookMs(this.#intervalMs, hasOverdue));
    this.#tellChange();
  }

  /** Between two rounds asks again, and again and again, those that owe an answer. */
  #lookAt(dueMs: number): void {
    if (dueMs >= this.#roundMs) return;
    this.#timer = setTimeout(() => {
      const nowMs = this.#now();
      const hasOverdue = this.#judge({ nowMs, lagMs: nowMs - dueMs, isRound: false });
      if (hasOverdue) this.#lookAt(nowMs + nextLookMs(this.#intervalMs, hasOverdue));
      this.#tellChange();
    }, dueMs - this.#now());
  }

  /** @returns whether anybody owes an answer */
  #judge({ nowMs, lagMs, isRound }: { nowMs: number; lagMs: number; isRound: boolean }): boolean {
    const intervalMs = this.#intervalMs;
    // What the look before this one has excused is not excused twice.
    const freshLagMs = Math.min(lagMs, nowMs - this.#lookedMs);
    this.#lookedMs = nowMs;
    let hasOverdue = false;
    for (const [nodeId, before] of this.#peers) {
      const health = judged(before, { nowMs, lagMs: freshLagMs, intervalMs });
      this.#peers.set(nodeId, health);
      const owes = isOverdue(health, { nowMs, intervalMs });
      hasOverdue ||= owes;
      if (isRound || owes) void this.#ask(nodeId, this.#addresses.get(nodeId) ?? "");
    }
    return hasOverdue;
  }

  async #ask(nodeId: string, address: string): Promise<void> {
    const { signal } = this.#over;
    const target = { address, port: PROBE_PORT, tries: 1, tryMs: ANSWER_TIMEOUT_MS };
    const isAnswered = await this.#options.probe(target, signal);
    const health = this.#peers.get(nodeId);
    if (health === undefined || signal.aborted || this.#addresses.get(nodeId) !== address) return;
    this.#peers.set(nodeId, isAnswered ? afterAnswer(health, this.#now()) : afterMiss(health));
    if (isAnswered) this.#answered(nodeId);
    if (health.isSilent) this.#tellChange();
  }

  /** Once all have answered there is nothing to look for before the next round. */
  #answered(nodeId: string): void {
    if (this.#owing.delete(nodeId) && this.#owing.size === 0) clearTimeout(this.#timer);
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
