import type { SessionEnd } from "./session-end.js";

const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 2_000;
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
}

export function firstAttempt(servers: readonly string[]): Attempt {
  return { address: servers[0] ?? "", delayMs: 0, servers, failures: 0, redirects: 0 };
}

/** Follows the word of a server that knows the leader; otherwise tries the servers in turn, ever more slowly. */
export function nextAttempt(last: Attempt, end: SessionEnd, rng: () => number): Attempt {
  const servers = [...new Set([...last.servers, ...end.servers])].slice(0, MAX_SERVERS);
  if (end.kind === "not-leader" && end.leader !== "" && last.redirects < MAX_REDIRECTS) {
    const redirects = last.redirects + 1;
    return { ...last, servers, address: end.leader, delayMs: 0, redirects };
  }
  const failures = end.kind === "lost" && end.wasJoined ? 0 : last.failures + 1;
  const backoffMs = Math.min(BACKOFF_MIN_MS * 2 ** Math.max(failures - 1, 0), BACKOFF_MAX_MS);
  return {
    servers,
    address: servers[(servers.indexOf(last.address) + 1) % servers.length] ?? last.address,
    delayMs: backoffMs * (0.5 + rng() / 2),
    failures,
    redirects: 0,
  };
}
