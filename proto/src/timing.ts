import { scaleTiming } from "./timing-scale.js";

/**
 * Timing on which the leader and the agents must agree.
 *
 * The leader declares a node down from the results of probes that agents run, and hands over at-most-one tasks once the
 * node's agent must have stopped them. Neither is safe unless both sides use the same numbers; timing.test.ts checks
 * the inequalities. On slow machines, BERTH_TIMING_SCALE multiplies all of them.
 */

/**
 * Number of tries per probe. A live kernel responds within a millisecond.
 *
 * A probe starts when a heartbeat is 50 ms late, and its host becomes suspect when the heartbeat is 150 ms late. About
 * seven tries fit in between. At 5 % packet loss, one try in ten fails and each host has a late heartbeat every five
 * seconds. All seven tries then fail about once in two months in a cluster of ten hosts.
 */
export const PROBE_TRIES = 20;
export const PROBE_TRY_MS = scaleTiming(15);
/** Duration of an unanswered probe. */
export const PROBE_MS = PROBE_TRIES * PROBE_TRY_MS;

/**
 * Time for which the leader's own probe runs before the leader asks peers. A host that is merely busy responds within
 * this time.
 */
export const ASK_PEERS_AFTER_MS = scaleTiming(100);
/** Duration of a probe round. Peers that have not responded by then have no vote. */
export const PROBE_ROUND_MS = scaleTiming(900);

/**
 * Number of consecutive rounds without a voter that reached the host, after which the leader confirms that the host is
 * down.
 */
export const CONFIRM_DOWN_ROUNDS = 2;
/**
 * Minimum time in which the leader can confirm that a host is down: its head start, then one probe per round.
 *
 * With heartbeats every 250 ms a dead host is declared down 1.0 s after its last heartbeat.
 */
export const CONFIRM_DOWN_MS = ASK_PEERS_AFTER_MS + CONFIRM_DOWN_ROUNDS * PROBE_MS;

/** Time without an acknowledged heartbeat after which the agent stops its at-most-one tasks. */
export const AGENT_FENCES_AFTER_MS = scaleTiming(6_000);
/** Grace period of a fenced container before SIGKILL. It is short, because the replacement waits for it. */
export const FENCE_GRACE_MS = scaleTiming(1_000);
/**
 * Time since the last heartbeat of a silent node after which the leader assumes that the node has stopped its
 * at-most-one tasks. The leader acknowledges only heartbeats that it has received, so the agent's time starts earlier.
 * The time that remains after `AGENT_FENCES_AFTER_MS` and `FENCE_GRACE_MS` is left for dockerd to kill the container.
 */
export const LEADER_ASSUMES_FENCED_AFTER_MS = scaleTiming(9_000);

/**
 * Duration of the leader's lease, long enough for a busy machine to renew it. A deposed leader may have acknowledged
 * heartbeats for this long after its last renewal. Followers replace a dead leader sooner (see LeaderContact); the
 * lease ends the term of a leader that hangs or has lost its etcd.
 */
export const LEADER_LEASE_MS = scaleTiming(3_000);
