import { scaleTiming } from "@berth/proto";

/**
 * Number of probe intervals after which a peer without a response counts as silent: 270 ms with up to a dozen peers. A
 * client that connects just after a host has died waits that long. After the first unanswered probe, this leaves 90 ms
 * for its repetitions.
 */
const SILENT_INTERVALS = 1.8;
/** Time without a response after which a probe is repeated. A live kernel responds within 1-2 ms. */
const ANSWER_MS = scaleTiming(30);
/** Lateness of a timer that is not counted as lag. */
const SLACK_MS = scaleTiming(10);
/**
 * Number of repetitions before a peer counts as silent. With a packet loss of 5 %, one probe in ten is not answered.
 * Among ten hosts, two in a row are lost five times a second, ten in a row less than once in half a year.
 */
const PROBE_REPETITIONS = 9;
/** Number of consecutive responses after which a silent peer counts as healthy, so that a flapping peer does not. */
const ANSWERS_TO_RECOVER = 3;
/** Minimum interval between two probes of a peer. */
const MIN_INTERVAL_MS = scaleTiming(150);
/**
 * Part of the probe interval for each peer. A probe costs about 60 µs of CPU time. With more than a dozen peers, the
 * interval grows so that the total does not.
 */
const INTERVAL_PER_PEER_MS = scaleTiming(12);
/** Maximum interval between two probes of a peer. */
const MAX_INTERVAL_MS = scaleTiming(2_000);

/** What this host knows about a peer from its own probes. */
export interface PeerHealth {
  /** Undefined if the peer has never responded, perhaps because of a firewall: its silence then means nothing. */
  readonly answeredMs: number | undefined;
  /** The part of the time since then in which this host was busy, so that responses may have waited unread. */
  readonly excusedMs: number;
  readonly repliesInRow: number;
  readonly isSilent: boolean;
}

export const UNKNOWN_PEER: PeerHealth = {
  answeredMs: undefined,
  excusedMs: 0,
  repliesInRow: 0,
  isSilent: false,
};

/** Returns the interval between two probes of a peer. */
export function probeIntervalMs(peers: number): number {
  return Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, peers * INTERVAL_PER_PEER_MS));
}

/** Returns the delay until the next check after a round of probes or after a repetition for overdue peers. */
export function nextCheckMs(intervalMs: number, hasOverdue: boolean): number {
  return hasOverdue ? (silenceLimitMs(intervalMs) - intervalMs - ANSWER_MS) / PROBE_REPETITIONS : ANSWER_MS;
}

/** Records that the peer responded to a probe. */
export function afterReply({ repliesInRow, isSilent }: PeerHealth, nowMs: number): PeerHealth {
  const inRow = repliesInRow + 1;
  return {
    answeredMs: nowMs,
    excusedMs: 0,
    repliesInRow: inRow,
    isSilent: isSilent && inRow < ANSWERS_TO_RECOVER,
  };
}

/** Records that the peer did not respond to a probe in time. */
export function afterMiss(health: PeerHealth): PeerHealth {
  return { ...health, repliesInRow: 0 };
}

/** A check of whether peers have become silent. */
export interface SilenceCheck {
  readonly nowMs: number;
  /** How late the check runs, because this host's event loop was busy. */
  readonly lagMs: number;
  readonly intervalMs: number;
}

/** Marks a peer as silent when it has not answered for too long. Time in which this host was busy does not count. */
export function withSilence(health: PeerHealth, { nowMs, lagMs, intervalMs }: SilenceCheck): PeerHealth {
  if (health.isSilent || health.answeredMs === undefined) return health;
  const excusedMs = health.excusedMs + (lagMs > SLACK_MS ? lagMs : 0);
  const isSilent = nowMs - health.answeredMs - excusedMs > silenceLimitMs(intervalMs);
  return isSilent ? { ...health, excusedMs, repliesInRow: 0, isSilent } : { ...health, excusedMs };
}

const silenceLimitMs = (intervalMs: number): number => SILENT_INTERVALS * intervalMs;

/**
 * Returns the IDs of the silent peers that new connections should avoid. Adds none to those `reported` before when more
 * than half of the hosts, including this one, are silent: then this host is probably cut off, and sending all connections
 * to a few peers would make it worse.
 */
export function silentPeers(
  peers: ReadonlyMap<string, PeerHealth>,
  reported: ReadonlySet<string>,
): ReadonlySet<string> {
  const silentNodeIds = [...peers].filter(([, { isSilent }]) => isSilent).map(([nodeId]) => nodeId);
  const isCutOff = silentNodeIds.length * 2 > peers.size + 1;
  return new Set(isCutOff ? silentNodeIds.filter((nodeId) => reported.has(nodeId)) : silentNodeIds);
}
