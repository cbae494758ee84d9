/**
 * A live kernel answers within a millisecond or two. An interval, in which a probe and its repetitions are lost, and the
 * same again: what the leader needs as well, without the way to the leader and back.
 */
const SILENT_AFTER_MS = 350;
/** What a probe may take before it is repeated. */
const ANSWER_MS = 50;
/** A timer is always a little late, and an answer comes a little after its question. */
const SLACK_MS = 10;
/**
 * So many repetitions fit in before a host counts as silent. Where one packet in twenty is lost, one probe in ten has no
 * answer; two in a row happen in a cluster of ten hosts five times a second, ten in a row less than once in half a year.
 */
const REPETITIONS = 8;
/** A host that comes and goes is not taken at its first word. */
const ANSWERS_TO_RECOVER = 3;
const SHORTEST_INTERVAL_MS = 150;
/** A probe costs some 60 µs of processor: beyond a dozen peers they are asked more rarely, at the same cost in all. */
const INTERVAL_PER_PEER_MS = 12;
const LONGEST_INTERVAL_MS = 2_000;

/** What this host has found out by itself about another one. */
export interface PeerHealth {
  /** Undefined: it has never answered, perhaps because of a firewall, and its silence says nothing. */
  readonly answeredMs: number | undefined;
  /** Of the time since then: for how long we were busy, and answers may have been waiting unread. */
  readonly excusedMs: number;
  readonly answersInRow: number;
  readonly isSilent: boolean;
}

export const UNKNOWN_PEER: PeerHealth = {
  answeredMs: undefined,
  excusedMs: 0,
  answersInRow: 0,
  isSilent: false,
};

/** How often each of so many peers is asked. */
export function probeIntervalMs(peers: number): number {
  return Math.min(LONGEST_INTERVAL_MS, Math.max(SHORTEST_INTERVAL_MS, peers * INTERVAL_PER_PEER_MS));
}

/** When to look for answers after a round of probes, and again after each repetition for those who owe one. */
export function nextLookMs(intervalMs: number, hasOverdue: boolean): number {
  return hasOverdue ? (limitMs(intervalMs) - intervalMs - ANSWER_MS) / REPETITIONS : ANSWER_MS;
}

export function afterAnswer({ answersInRow, isSilent }: PeerHealth, nowMs: number): PeerHealth {
  const inRow = answersInRow + 1;
  return {
    answeredMs: nowMs,
    excusedMs: 0,
    answersInRow: inRow,
    isSilent: isSilent && inRow < ANSWERS_TO_RECOVER,
  };
}

/** One probe was not answered in its time. */
export function afterMiss(health: PeerHealth): PeerHealth {
  return { ...health, answersInRow: 0 };
}

export interface Look {
  readonly nowMs: number;
  /** How late this look is: our own event loop was busy. */
  readonly lagMs: number;
  readonly intervalMs: number;
}

export function judged(health: PeerHealth, { nowMs, lagMs, intervalMs }: Look): PeerHealth {
  if (health.isSilent || health.answeredMs === undefined) return health;
  const excusedMs = health.excusedMs + (lagMs > SLACK_MS ? lagMs : 0);
  const isSilent = nowMs - health.answeredMs - excusedMs > limitMs(intervalMs);
  return isSilent ? { ...health, excusedMs, answersInRow: 0, isSilent } : { ...health, excusedMs };
}

/** Whether the last probe should have been answered by now, and is to be repeated. */
export function isOverdue(health: PeerHealth, { nowMs, intervalMs }: Omit<Look, "lagMs">): boolean {
  if (health.isSilent || health.answeredMs === undefined) return false;
  return nowMs - health.answeredMs - health.excusedMs > intervalMs + ANSWER_MS - SLACK_MS;
}

const limitMs = (intervalMs: number): number => Math.max(SILENT_AFTER_MS, 2 * intervalMs + ANSWER_MS);

/**
 * Ids of the peers to send nothing new. None when more than half of the hosts, this one counted, would be silent: then
 * it is probably this one that is cut off, and to crowd all connections onto a few would make it worse.
 */
export function silentPeers(peers: ReadonlyMap<string, PeerHealth>): ReadonlySet<string> {
  const silent = [...peers].filter(([, { isSilent }]) => isSilent).map(([nodeId]) => nodeId);
  return new Set(silent.length * 2 > peers.size + 1 ? [] : silent);
}
