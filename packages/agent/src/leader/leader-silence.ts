/**
 * Number of heartbeats of which one requests an acknowledgement. More requests would load the leader of a large
 * cluster.
 */
const HEARTBEATS_PER_REQUEST = 4;
/**
 * Time after which a leader that sends nothing counts as stuck or unreachable, even though its host's kernel responds.
 * Longer than the leader of a hundred thousand tasks is ever busy, and shorter than the connection timeout (15 s).
 */
const SILENT_MS = 3_000;
/**
 * Number of heartbeat intervals that a leader may be silent. Tolerates one lost acknowledgement where heartbeats are
 * rare.
 */
const SILENT_HEARTBEATS = 2 * HEARTBEATS_PER_REQUEST;
/** Maximum lateness of a timer. Beyond it, the agent itself was stuck, and messages may be waiting to be read. */
const MAX_LAG_MS = 500;

export interface HeartbeatTiming {
  readonly nowMs: number;
  /** How late the heartbeat's timer fired. */
  readonly lagMs: number;
  readonly intervalMs: number;
}

export interface HeartbeatDecision {
  /** Whether this heartbeat must request an acknowledgement. */
  readonly requestsAck: boolean;
  /** Whether the leader has sent nothing for too long. */
  readonly isSilent: boolean;
}

/** Detects a leader that is connected but sends nothing. Has no clock of its own: callers pass the current time. */
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
  onHeartbeat({ nowMs, lagMs, intervalMs }: HeartbeatTiming): HeartbeatDecision {
    if (lagMs > MAX_LAG_MS) this.#lastMessageMs = nowMs;
    const requestsAck = this.#heartbeats % HEARTBEATS_PER_REQUEST === 0;
    this.#heartbeats += 1;
    const limitMs = Math.max(SILENT_MS, SILENT_HEARTBEATS * intervalMs);
    return { requestsAck, isSilent: nowMs - this.#lastMessageMs >= limitMs };
  }
}
