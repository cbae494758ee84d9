import { isIP } from "node:net";
import { PROBE_PORT, type Probe, probeUntilSilent } from "@berth/proto/probe";
import type { Ticker } from "../runtime/ticker.js";

/**
 * Bounds of the interval that the leader sets: long enough to cost little, short enough for the node to count as up.
 */
const MIN_INTERVAL_MS = 50;
const MAX_INTERVAL_MS = 10_000;

/** One heartbeat in four requests an acknowledgement. More would load the leader of a large cluster. */
const HEARTBEATS_PER_REQUEST = 4;
/**
 * A leader that sends nothing for this long is stuck or unreachable, even though its host's kernel answers. Longer than
 * the leader of a hundred thousand tasks is ever busy, and shorter than the connection timeout (15 s).
 */
const SILENT_MS = 3_000;
/** Tolerates one lost acknowledgement where heartbeats are rare. */
const SILENT_HEARTBEATS = 2 * HEARTBEATS_PER_REQUEST;
/** A timer this late means that the agent itself was stuck, and that messages may wait to be read. */
const MAX_LAG_MS = 500;

/**
 * A live server accepts or refuses a connection at once; a dead host does neither. Eight tries tolerate packet loss.
 */
const CONNECT_PROBE = { tries: 8, tryMs: 50 };
/**
 * Finds a dead leader host within 1.1 s, about when the next leader is elected. The kernel answers the probes, so a
 * busy server does not look dead. A multiple of the peer probe interval, so that both share one wake-up.
 */
const HOST_PROBE = { everyMs: 300, tries: 16, tryMs: 50 };

export interface HeartbeatTimerOptions {
  readonly intervalMs: number;
  readonly ticker: Pick<Ticker, "every">;
  /** Called with the timer's lateness and the current interval. */
  readonly onHeartbeat: (lagMs: number, intervalMs: number) => void;
}

/** Calls `onHeartbeat` at once and then at the interval that the leader sets. */
export class HeartbeatTimer {
  readonly #options: HeartbeatTimerOptions;
  #cancel: () => void = () => {};
  #lagMs = 0;
  #intervalMs: number;

  constructor(options: HeartbeatTimerOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs;
    this.sendNow();
    this.setInterval(options.intervalMs);
  }

  setInterval(intervalMs: number): void {
    this.#cancel();
    this.#intervalMs = Math.min(Math.max(intervalMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
    this.#cancel = this.#options.ticker.every(this.#intervalMs, (lagMs) => {
      this.#lagMs = Math.round(lagMs);
      this.sendNow();
    });
  }

  /** Sends an extra heartbeat. */
  sendNow(): void {
    this.#options.onHeartbeat(this.#lagMs, this.#intervalMs);
  }

  stop(): void {
    this.#cancel();
  }
}

export interface HeartbeatTiming {
  readonly nowMs: number;
  /** How late the heartbeat's timer fired. */
  readonly lagMs: number;
  readonly intervalMs: number;
}

export interface SilenceVerdict {
  /** True when this heartbeat has to request an acknowledgement. */
  readonly requestsAck: boolean;
  /** True when the leader has sent nothing for too long. */
  readonly isSilent: boolean;
}

/** Detects a leader that is connected but sends nothing. The caller passes the time. */
export class LeaderSilence {
  #lastMessageMs: number;
  #heartbeats = 0;

  constructor(nowMs: number) {
    this.#lastMessageMs = nowMs;
  }

  /** Records that the leader sent a message. */
  recordMessage(nowMs: number): void {
    this.#lastMessageMs = nowMs;
  }

  /** Evaluates the silence. Called once for each heartbeat. */
  onHeartbeat({ nowMs, lagMs, intervalMs }: HeartbeatTiming): SilenceVerdict {
    if (lagMs > MAX_LAG_MS) this.#lastMessageMs = nowMs;
    const requestsAck = this.#heartbeats % HEARTBEATS_PER_REQUEST === 0;
    this.#heartbeats += 1;
    const limitMs = Math.max(SILENT_MS, SILENT_HEARTBEATS * intervalMs);
    return { requestsAck, isSilent: nowMs - this.#lastMessageMs >= limitMs };
  }
}

export interface HostLossOptions {
  /** "host:port" of the server. */
  readonly address: string;
  readonly probe: Probe;
  readonly ticker: Pick<Ticker, "next">;
}

/**
 * Probes the leader's host. Resolves with true when the host stops answering, with false when `signal` fires. A server
 * with a host name is not probed: the name may resolve to several hosts.
 */
export async function waitForHostLoss(
  { address, probe, ticker }: HostLossOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) === 0) return false;
  const isReachable = await probe(
    { ...CONNECT_PROBE, address: host, port: Number(address.slice(colon + 1)) },
    signal,
  );
  if (!isReachable) return !signal.aborted;
  const pause = (): Promise<void> => ticker.next(HOST_PROBE.everyMs, signal);
  return probeUntilSilent({ ...HOST_PROBE, probe, pause, address: host, port: PROBE_PORT }, signal);
}
