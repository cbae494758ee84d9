/** Delay after the first failed attempt. It doubles with each failure. */
const BACKOFF_MIN_MS = 100;
/** Maximum delay between two attempts. */
const BACKOFF_MAX_MS = 2_000;
/**
 * Share of a heartbeat interval over which the agents of a cluster spread their reconnections after a leader is lost:
 * 50 ms in a small cluster, and 400 ms in one of a thousand nodes, whose heartbeats are slower.
 */
const RECONNECT_SPREAD = 0.2;
/** Spread up to which the cluster is so small that all agents may follow a redirect at once. */
const NEGLIGIBLE_SPREAD_MS = 100;
/**
 * Response time after which a server that knows no leader has already waited for one, so that no further delay is
 * needed.
 */
const WAITED_MS = 1_000;
/** Maximum number of consecutive redirects. During an election, servers may redirect to each other. */
const MAX_REDIRECTS = 3;
/**
 * Delay before a refused node retries. Short for a node that awaits approval, because the administrator waits for it.
 */
const REFUSED_RETRY_MS = { "awaits-approval": 5_000, removed: 60_000 } as const satisfies Record<
  Refusal,
  number
>;
/** Maximum number of server addresses, more than a cluster has servers. */
export const MAX_SERVERS = 32;

/** Why a session ended, with the facts that decide which server is next. */
export type SessionEnd =
  | {
      readonly kind: "not-leader";
      /** The leader's address. Empty if the server knows no leader. */
      readonly leader: string;
      /** How long the server took to answer. */
      readonly afterMs: number;
    }
  | {
      readonly kind: "lost";
      /** The heartbeat interval, which grows with the cluster. Undefined if the leader never welcomed this node. */
      readonly joinedHeartbeatMs: number | undefined;
      readonly reason: string;
      /** Whether the certificate with which the session was opened has expired. */
      readonly hasExpired?: boolean;
      /** Whether the server did not respond in time although its host responds to probes. */
      readonly isUnanswered?: boolean;
    }
  | {
      readonly kind: "refused";
      readonly refusal: Refusal;
      readonly reason: string;
    };

/** Why the cluster refuses a node. An immediate retry would be refused too. */
export type Refusal = "awaits-approval" | "removed";

/** Which server to try next, and when. */
export interface Attempt {
  readonly address: string;
  readonly delayMs: number;
  /** All known servers: those from the command line, then those learned from a leader. */
  readonly servers: readonly string[];
  readonly failures: number;
  readonly redirects: number;
  /** The time over which all agents spread their reconnections. */
  readonly spreadMs: number;
}

export function firstAttempt(servers: readonly string[]): Attempt {
  return { address: servers[0] ?? "", delayMs: 0, servers, failures: 0, redirects: 0, spreadMs: 0 };
}

/**
 * Follows a server's redirect to the leader, and otherwise tries the servers in turn. A redirect to an unknown address
 * is followed only after all known servers have failed: a compromised server must not redirect agents anywhere, but an
 * agent may know only one of several servers. The first attempt after the loss of a leader is immediate, because the
 * other servers know the next leader or wait for it. Later attempts back off.
 *
 * @param reported the servers that the last leader reported
 */
export function nextAttempt(
  last: Attempt,
  end: SessionEnd,
  { reported, rng }: { readonly reported: readonly string[]; readonly rng: () => number },
): Attempt {
  const servers = [...new Set([...last.servers, ...reported])].slice(0, MAX_SERVERS);
  const mayFollow = (leader: string): boolean =>
    leader !== "" &&
    last.redirects < MAX_REDIRECTS &&
    (servers.includes(leader) || last.failures >= last.servers.length);
  if (end.kind === "not-leader" && mayFollow(end.leader)) {
    const redirects = last.redirects + 1;
    const delayMs = last.spreadMs > NEGLIGIBLE_SPREAD_MS ? rng() * last.spreadMs : 0;
    return { ...last, servers, address: end.leader, delayMs, redirects };
  }
  if (end.kind === "refused") {
    // Only the leader refuses a node. A server that is no longer the leader redirects to it.
    const delayMs = REFUSED_RETRY_MS[end.refusal] * (0.5 + rng() / 2);
    return { ...last, servers, delayMs, failures: 0, redirects: 0 };
  }
  const address = servers[(servers.indexOf(last.address) + 1) % servers.length] ?? last.address;
  const heartbeatMs = end.kind === "lost" ? end.joinedHeartbeatMs : undefined;
  if (heartbeatMs !== undefined) {
    const spreadMs = heartbeatMs * RECONNECT_SPREAD;
    return { servers, address, delayMs: rng() * spreadMs, failures: 0, redirects: 0, spreadMs };
  }
  // A server without etcd waits before it responds. An additional back-off would only delay the next server's turn.
  const hasWaited = end.kind === "not-leader" && end.leader === "" && end.afterMs >= WAITED_MS;
  const failures = hasWaited ? 1 : last.failures + 1;
  const backoffMs = Math.min(BACKOFF_MIN_MS * 2 ** (failures - 1), BACKOFF_MAX_MS);
  return { ...last, servers, address, delayMs: backoffMs * (0.5 + rng() / 2), failures, redirects: 0 };
}
