/**
 * Timing that the leader and the agents have to agree on.
 *
 * The leader declares a node down from the results of probes that agents run, and hands over at-most-one tasks once the
 * node's agent must have stopped them. Neither is safe unless both sides use the same numbers; timing.test.ts checks
 * the inequalities.
 */

/**
 * Number of tries per probe. A live kernel answers within a millisecond.
 *
 * Many short tries outlast packet loss: at 5 % loss a heartbeat is 0.2 s late every five seconds, and one try in ten
 * fails. Seven failed tries before a host becomes suspect mean one false suspicion per ten hosts in two months.
 */
export const PROBE_TRIES = 20;
export const PROBE_TRY_MS = 15;
/** Duration of a probe that stays unanswered. */
export const PROBE_MS = PROBE_TRIES * PROBE_TRY_MS;

/** How long the leader's own probe runs before it asks peers. A host that is merely busy answers within this time. */
export const ASK_PEERS_AFTER_MS = 100;
/** A probe round ends after this time. Peers that have not answered by then have no vote. */
export const PROBE_ROUND_MS = 900;

/** Number of consecutive rounds in which every voter must fail to reach a host before the leader declares it down. */
export const PROOF_ROUNDS = 2;
/**
 * Shortest duration of `PROOF_ROUNDS` failed rounds: the leader's head start, then one probe per round.
 *
 * With heartbeats every 250 ms a dead host is declared down 1.0 s after its last heartbeat.
 */
export const PROOF_MS = ASK_PEERS_AFTER_MS + PROOF_ROUNDS * PROBE_MS;

/** The agent stops its at-most-one tasks when the leader has acknowledged no heartbeat for this long. */
export const FENCE_AFTER_MS = 6_000;
/** Grace period of a fenced container before SIGKILL. Short, because the replacement waits for it. */
export const FENCE_GRACE_MS = 1_000;
/**
 * The leader counts the at-most-one tasks of a silent node as stopped after this long.
 *
 * Counted from the last heartbeat received: every acknowledged heartbeat was received earlier. The difference to
 * `FENCE_AFTER_MS` and `FENCE_GRACE_MS` is left for dockerd to kill the container.
 */
export const FENCED_AFTER_MS = 9_000;

/**
 * Lease of the leader. A deposed leader may have acknowledged heartbeats for this long after its last renewal.
 *
 * Long enough for a busy machine to renew it. Followers replace a dead leader sooner (see LeaderContact); the lease ends
 * the term of a leader that stands still or has lost its etcd.
 */
export const LEADER_LEASE_MS = 3_000;
