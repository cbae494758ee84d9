/**
 * A live kernel answers within a millisecond or two. Two probes that are lost in a row, and the time for the second
 * one's answer: what the leader needs as well, without the way to the leader and back.
 */
const SILENT_AFTER_MS = 350;
const ANSWER_MS = 50;
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
  readonly answersInRow: number;
  readonly isSilent: boolean;
}

export const UNKNOWN_PEER: PeerHealth = { answeredMs: undefined, answersInRow: 0, isSilent: false };

/** How often each of so many peers is asked. */
export function probeIntervalMs(peers: number): number {
  return Math.min(LONGEST_INTERVAL_MS, Math.max(SHORTEST_INTERVAL_MS, peers * INTERVAL_PER_PEER_MS));
}

export function afterAnswer({ answersInRow, isSilent }: PeerHealth, nowMs: number): PeerHealth {
  const inRow = answersInRow + 1;
  return { answeredMs: nowMs, answersInRow: inRow, isSilent: isSilent && inRow < ANSWERS_TO_RECOVER };
}

/** One probe was not answered in its time. */
export function afterMiss(health: PeerHealth): PeerHealth {
  return { ...health, answersInRow: 0 };
}

/** `lagMs`: how late our own event loop runs; answers may be waiting unread for that long. */
export function judged(
  health: PeerHealth,
  {
    nowMs,
    lagMs,
    intervalMs,
  }: { readonly nowMs: number; readonly lagMs: number; readonly intervalMs: number },
): PeerHealth {
  const limitMs = Math.max(SILENT_AFTER_MS, 2 * intervalMs + ANSWER_MS) + Math.max(0, lagMs);
  if (health.isSilent || health.answeredMs === undefined) return health;
  if (nowMs - health.answeredMs <= limitMs) return health;
  return { ...health, answersInRow: 0, isSilent: true };
}

/**
 * Ids of the peers to send nothing new. None when more than half of the hosts, this one counted, would be silent: then
 * it is probably this one that is cut off, and to crowd all connections onto a few would make it worse.
 */
export function silentPeers(peers: ReadonlyMap<string, PeerHealth>): ReadonlySet<string> {
  const silent = [...peers].filter(([, { isSilent }]) => isSilent).map(([nodeId]) => nodeId);
  return new Set(silent.length * 2 > peers.size + 1 ? [] : silent);
}
