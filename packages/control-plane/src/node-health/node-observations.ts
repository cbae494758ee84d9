import { type Node, NodeState } from "@berth/proto";
import { evaluateVotes, isUnanimous, NO_VOTES, type ProbeVotes } from "../core/node-health/probe-votes.js";
import { DOWN_AFTER_MS, lateAfterMs } from "../core/node-health/silence-thresholds.js";

/** Interval of the probe rounds for a host that is known to be live or down. */
const NEXT_ROUND_AFTER_MS = 1_000;

/** This leader's observations of one node, in memory only. Times are in ms of the monotonic clock. */
export interface NodeObservation {
  /** Time of the last heartbeat. Undefined if this leader has received none yet. */
  lastHeartbeatMs: number | undefined;
  /** Event loop lag that the agent reported with its last heartbeat. */
  agentLagMs: number;
  /** Votes of the last probe round since the last heartbeat. */
  votes: ProbeVotes;
  /** Number of the last rounds in a row in which every voter failed to reach the host. */
  failedRounds: number;
  /** Time of the host's last response to a probe. */
  hostRespondedMs: number | undefined;
  /** Earliest start of the next probe round. */
  nextRoundMs: number;
}

/** The observations of all nodes, from which the node health monitor judges them. */
export class NodeObservations {
  readonly #byNode = new Map<string, NodeObservation>();

  /** Returns the observation of a node, created on demand. */
  getOrCreate(nodeId: string): NodeObservation {
    let observation = this.#byNode.get(nodeId);
    if (observation === undefined) {
      observation = {
        lastHeartbeatMs: undefined,
        agentLagMs: 0,
        votes: NO_VOTES,
        failedRounds: 0,
        hostRespondedMs: undefined,
        nextRoundMs: 0,
      };
      this.#byNode.set(nodeId, observation);
    }
    return observation;
  }

  delete(nodeId: string): void {
    this.#byNode.delete(nodeId);
  }

  /** Returns whether a heartbeat of the node arrived within the last `withinMs`. */
  isHeard(nodeId: string, withinMs: number, nowMs: number): boolean {
    const lastHeartbeatMs = this.#byNode.get(nodeId)?.lastHeartbeatMs;
    return lastHeartbeatMs !== undefined && nowMs - lastHeartbeatMs <= withinMs;
  }

  /** Returns the other nodes whose heartbeats are on time. */
  livePeers(nodeId: string, heartbeatMs: number, nowMs: number): readonly string[] {
    const withinMs = lateAfterMs(heartbeatMs);
    const peers: string[] = [];
    for (const [peerId, { lastHeartbeatMs }] of this.#byNode) {
      if (lastHeartbeatMs === undefined || peerId === nodeId) continue;
      if (nowMs - lastHeartbeatMs <= withinMs) peers.push(peerId);
    }
    return peers;
  }
}

/** Discards the votes of earlier probe rounds, because a heartbeat has ended the silence. */
export function endSilence(observation: NodeObservation): void {
  observation.votes = NO_VOTES;
  observation.failedRounds = 0;
  observation.nextRoundMs = 0;
}

/** Records the votes of a probe round. The next round follows at once while the node may still be declared down. */
export function recordVotes(
  observation: NodeObservation,
  votes: ProbeVotes,
  { isReady, nowMs }: { readonly isReady: boolean; readonly nowMs: number },
): void {
  const isAlive = evaluateVotes(votes) === "lives";
  observation.votes = votes;
  observation.failedRounds = isUnanimous(votes) ? observation.failedRounds + 1 : 0;
  if (isAlive) observation.hostRespondedMs = nowMs;
  observation.nextRoundMs = !isAlive && isReady ? nowMs : nowMs + NEXT_ROUND_AFTER_MS;
}

export interface ReplacementContext {
  readonly nodes: Iterable<Node>;
  readonly observations: NodeObservations;
  readonly heartbeatMs: number;
  readonly leadingSinceMs: number;
  /** The time of the monotonic clock. */
  readonly monotonicMs: number;
  /** The wall-clock time, in ms since the epoch. */
  readonly wallClockMs: number;
}

/**
 * Returns the ID of a node on the same host that joined after this node was last heard, or undefined if there is none.
 *
 * A reinstalled host joins as a new node, and its kernel answers the probes for the old node.
 */
export function findReplacement(
  node: Node,
  { nodes, observations, heartbeatMs, leadingSinceMs, monotonicMs, wallClockMs }: ReplacementContext,
): string | undefined {
  const { lastHeartbeatMs } = observations.getOrCreate(node.id);
  const silentMs = monotonicMs - (lastHeartbeatMs ?? leadingSinceMs);
  // The scan below visits all nodes, so it runs only when its result matters.
  if (silentMs < DOWN_AFTER_MS || node.state !== NodeState.READY) return undefined;
  const sinceMs = lastHeartbeatMs === undefined ? node.createdAtMs : wallClockMs - silentMs;
  for (const other of nodes) {
    if (other.createdAtMs <= sinceMs || !isOnSameHost(node, other)) continue;
    if (observations.isHeard(other.id, lateAfterMs(heartbeatMs), monotonicMs)) return other.id;
  }
  return undefined;
}

function isOnSameHost(node: Node, other: Node): boolean {
  const { description: mine } = node;
  const { description: theirs } = other;
  return node.id !== other.id && mine?.hostname === theirs?.hostname && mine?.address === theirs?.address;
}
