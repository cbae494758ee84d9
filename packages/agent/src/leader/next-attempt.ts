import type { SessionEnd } from "./session-end.js";

const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 2_000;
/**
 * Over this part of a heartbeat's interval all agents of a cluster spread their return after its leader was lost:
 * 50 ms in a small one, 400 ms in one of a thousand nodes, whose heartbeats are slower.
 */
const RETURN_SPREAD = 0.2;
/** So few agents that they may all come at the moment in which they are told of the next leader. */
const NEGLIGIBLE_SPREAD_MS = 100;
/** A server that took longer to say that it knows no leader has waited for one: that was pause enough. */
const PATIENT_MS = 1_000;
/** Servers that point at each other while they elect a leader are not followed around for ever. */
const MAX_REDIRECTS = 3;
/** More servers than any cluster has. */
const MAX_SERVERS = 32;

/** Where the next session is to be tried, and when. */
export interface Attempt {
  readonly address: string;
  readonly delayMs: number;
  /** All servers known. Those of the command line stay; the leader's list is the newer one. */
  readonly servers: readonly string[];
  readonly failures: number;
  readonly redirects: number;
  /** Over how much time this agent and all others are to come back; the larger the cluster, the longer. */
  readonly spreadMs: number;
}

export function firstAttempt(servers: readonly string[]): Attempt {
  return { address: servers[0] ?? "", delayMs: 0, servers, failures: 0, redirects: 0, spreadMs: 0 };
}

/**
 * Follows the word of a server that knows the leader; otherwise tries the servers in turn: at once after a leader was
 * lost, for the others know the next one or wait for it, and ever more slowly while none of them answers.
 */
export function nextAttempt(last: Attempt, end: SessionEnd, rng: () => number): Attempt {
  const servers = [...new Set([...last.servers, ...end.servers])].slice(0, MAX_SERVERS);
  if (end.kind === "not-leader" && end.leader !== "" && last.redirects < MAX_REDIRECTS) {
    const redirects = last.redirects + 1;
    const delayMs = last.spreadMs > NEGLIGIBLE_SPREAD_MS ? rng() * last.spreadMs : 0;
    return { ...last, servers, address: end.leader, delayMs, redirects };
  }
  const address = servers[(servers.indexOf(last.address) + 1) % servers.length] ?? last.address;
  const heartbeatMs = end.kind === "lost" ? end.joinedHeartbeatMs : undefined;
  if (heartbeatMs !== undefined) {
    const spreadMs = heartbeatMs * RETURN_SPREAD;
    return { servers, address, delayMs: rng() * spreadMs, failures: 0, redirects: 0, spreadMs };
  }
  // Else pauses that grew while one server was away would be made before each wait at another that is cut off from etcd.
  const wasPatient = end.kind === "not-leader" && end.leader === "" && end.afterMs >= PATIENT_MS;
  const failures = wasPatient ? 1 : last.failures + 1;
  const backoffMs = Math.min(BACKOFF_MIN_MS * 2 ** (failures - 1), BACKOFF_MAX_MS);
  return { ...last, servers, address, delayMs: backoffMs * (0.5 + rng() / 2), failures, redirects: 0 };
}
