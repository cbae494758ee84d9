import {
  assertNever,
  LEADER_ASSUMES_FENCED_AFTER_MS,
  LEADER_LEASE_MS,
  type Node,
  NodeState,
} from "@berth/proto";
import { evaluateVotes, type HostEvidence, type ProbeVotes } from "./probe-votes.js";
import {
  AGENT_AWAY_AFTER_MS,
  AGENT_LOST_AFTER_MS,
  allThresholdsMs,
  DOWN_AFTER_MS,
  DOWN_UNCONFIRMED_AFTER_MS,
  firstLateMs,
  lateAfterMs,
  type NodeTiming,
  replacedAfterMs,
  suspectAfterMs,
  unreachableDownAfterMs,
} from "./silence-thresholds.js";
import { FAILOVER_PAUSE_MS, type FailoverPause } from "./suspect-nodes.js";

/** Maximum reported lag that is subtracted from the silence of an agent. */
const MAX_AGENT_LAG_MS = 1_000;

/** Observations of one node. Times are in ms of the leader's monotonic clock. */
export interface NodeHealthInput extends NodeTiming {
  readonly node: Pick<Node, "state" | "agentUnreachable" | "fenced" | "stateMessage" | "ignoresProbes">;
  /** Event loop lag that the agent reported with its last heartbeat. */
  readonly agentLagMs: number;
  /** Votes of the last probe round since the last heartbeat. */
  readonly votes: ProbeVotes;
  /** Time of the host's last response to a probe. */
  readonly hostRespondedMs: number | undefined;
  /** ID of a node on the same host that has registered since the last heartbeat. Undefined if there is none. */
  readonly replacedBy: string | undefined;
}

/** The leader's state at the time of a judgment. */
export interface NodeHealthContext {
  readonly nowMs: number;
  /** Time when this server became the leader. Earlier silence does not count. */
  readonly leadingSinceMs: number;
  /** Lag of the leader's event loop. Heartbeats and votes may have waited unread for this long. */
  readonly lagMs: number;
  readonly failoverPause: FailoverPause | undefined;
  /** Whether the cluster was restored from a backup, so that agents may not have found its servers yet. */
  readonly isRestorePending: boolean;
}

/** The health fields of a node record. */
export type NodeCondition = Pick<Node, "state" | "agentUnreachable" | "fenced" | "stateMessage">;

/** The result of judging a node. The health monitor of the leader acts on it. */
export interface NodeHealthVerdict {
  /** The condition to write. Undefined if it is unchanged. */
  readonly condition: NodeCondition | undefined;
  /** Whether the node gets no new connections for now. False if the node is down. */
  readonly isSuspect: boolean;
  /** Whether the host should be probed. */
  readonly isLate: boolean;
  /** Time to judge again if no heartbeat or vote arrives before. Undefined if time alone changes nothing. */
  readonly checkAtMs: number | undefined;
}

const READY_CONDITION: NodeCondition = {
  state: NodeState.READY,
  agentUnreachable: false,
  fenced: false,
  stateMessage: "",
};
const AGENT_AWAY: NodeCondition = {
  ...READY_CONDITION,
  agentUnreachable: true,
  stateMessage: "its agent does not respond, but its host is up and its tasks keep running",
};

/** Silence of a node, without the lag of the leader and of the agent. */
interface Silence {
  /** Time since the last heartbeat. */
  readonly agentMs: number;
  /** Time since the last heartbeat or probe response. */
  readonly hostMs: number;
  readonly evidence: HostEvidence;
  /** Whether this leader has received no heartbeat of the node yet. */
  readonly isUnheard: boolean;
}

/** Decides whether a node is ready, suspect, down or fenced. */
export function judgeNode(input: NodeHealthInput, context: NodeHealthContext): NodeHealthVerdict {
  const silence = measureSilence(input, context);
  return input.node.state === NodeState.DOWN
    ? judgeDownNode(input, silence, context)
    : judgeUpNode(input, silence, context);
}

function measureSilence(
  input: NodeHealthInput,
  { nowMs, leadingSinceMs, lagMs }: NodeHealthContext,
): Silence {
  const heardMs = Math.max(input.lastHeartbeatMs ?? leadingSinceMs, leadingSinceMs);
  const excusedMs = Math.max(0, lagMs) + Math.min(Math.max(0, input.agentLagMs), MAX_AGENT_LAG_MS);
  const evidence = evaluateVotes(input.votes);
  const isReliable = evidence !== "silent" || !input.node.ignoresProbes;
  return {
    agentMs: nowMs - heardMs - excusedMs,
    hostMs: nowMs - Math.max(heardMs, input.hostRespondedMs ?? 0) - excusedMs,
    evidence: isReliable ? evidence : "unknown",
    isUnheard: input.lastHeartbeatMs === undefined,
  };
}

function judgeUpNode(
  input: NodeHealthInput,
  silence: Silence,
  context: NodeHealthContext,
): NodeHealthVerdict {
  const { node, heartbeatMs } = input;
  const { agentMs, evidence, isUnheard } = silence;
  const lateMs = firstLateMs(input);
  const suspectMs = suspectAfterMs(heartbeatMs);
  const checkAtMs = nextCheckMs(allThresholdsMs(input), silence, context);
  if (agentMs < lateMs) {
    const condition = isUnheard ? undefined : changedCondition(node, READY_CONDITION);
    return { condition, isSuspect: false, isLate: false, checkAtMs };
  }
  const downReason = findConfirmedDownReason(input, silence, context);
  if (downReason !== undefined) {
    const condition = {
      state: NodeState.DOWN,
      agentUnreachable: false,
      fenced: false,
      stateMessage: downReason,
    };
    // The node stays suspect until the condition is stored, so it gets no connections meanwhile.
    return { condition, isSuspect: evidence !== "lives", isLate: true, checkAtMs: undefined };
  }
  const isSuspect = agentMs >= suspectMs && evidence !== "lives";
  const condition = isSuspect ? pausedCondition(node, context.failoverPause) : awayCondition(node, silence);
  return { condition, isSuspect, isLate: true, checkAtMs };
}

/** Returns why the node is down, or undefined if it may be up, or while no node may be declared down. */
function findConfirmedDownReason(
  input: NodeHealthInput,
  silence: Silence,
  { failoverPause, nowMs, isRestorePending }: NodeHealthContext,
): string | undefined {
  if (isRestorePending && silence.isUnheard) return undefined;
  return failoverPause === undefined
    ? findDownReason(input, silence)
    : downReasonDuringPause(input, silence, failoverPause, nowMs);
}

/** Returns why the node is down, or undefined if it may be up. */
function findDownReason(input: NodeHealthInput, { agentMs, hostMs, evidence }: Silence): string | undefined {
  switch (evidence) {
    case "silent": {
      const { silent, asked } = input.votes;
      return hostMs >= unreachableDownAfterMs(input)
        ? `its host has been unreachable for ${seconds(hostMs)} s: ${silent} of ${asked} probes failed`
        : undefined;
    }
    case "unknown":
      return hostMs >= DOWN_UNCONFIRMED_AFTER_MS
        ? `no heartbeat and no probe response for ${seconds(hostMs)} s`
        : undefined;
    case "lives":
      if (input.replacedBy !== undefined && agentMs >= replacedAfterMs(input)) {
        return `its host has come back as node ${input.replacedBy}`;
      }
      return agentMs >= AGENT_LOST_AFTER_MS
        ? `its agent has not responded for ${seconds(agentMs)} s, although its host is up`
        : undefined;
    default:
      return assertNever(evidence);
  }
}

/**
 * Returns why the node is down during a failover pause. At first no node is down; later, only confirmed silence counts.
 *
 * This does not check whether the leader can still write, because a verdict that etcd rejects has no effect.
 */
function downReasonDuringPause(
  input: NodeHealthInput,
  silence: Silence,
  failoverPause: FailoverPause,
  nowMs: number,
): string | undefined {
  if (nowMs < failoverPause.sinceMs + FAILOVER_PAUSE_MS) return undefined;
  const isConfirmed = silence.evidence === "silent" || input.node.ignoresProbes;
  return isConfirmed ? findDownReason(input, silence) : undefined;
}

/**
 * Returns the condition that explains why a suspect node's tasks are not replaced, or undefined without a failover
 * pause.
 */
function pausedCondition(
  node: NodeCondition,
  failoverPause: FailoverPause | undefined,
): NodeCondition | undefined {
  if (failoverPause === undefined) return undefined;
  const { agentUnreachable } = node;
  return changedCondition(node, { ...READY_CONDITION, agentUnreachable, stateMessage: failoverPause.reason });
}

function awayCondition(node: NodeCondition, { agentMs, evidence }: Silence): NodeCondition | undefined {
  return evidence === "lives" && agentMs >= AGENT_AWAY_AFTER_MS
    ? changedCondition(node, AGENT_AWAY)
    : undefined;
}

/** Judges a down node. Only a heartbeat makes it ready again; a probe response or a new leader does not. */
function judgeDownNode(
  input: NodeHealthInput,
  silence: Silence,
  context: NodeHealthContext,
): NodeHealthVerdict {
  const { node, votes, heartbeatMs } = input;
  const { agentMs, hostMs, evidence, isUnheard } = silence;
  const base = { isSuspect: false, isLate: false, checkAtMs: undefined };
  if (!isUnheard && agentMs < lateAfterMs(heartbeatMs)) return { ...base, condition: READY_CONDITION };
  if (node.fenced) return { ...base, condition: undefined };
  // The former leader may have acknowledged heartbeats until its lease expired.
  const fencedAfterMs = LEADER_ASSUMES_FENCED_AFTER_MS + (isUnheard ? LEADER_LEASE_MS : 0);
  const isFenced = agentMs >= fencedAfterMs && hostMs >= DOWN_AFTER_MS && evidence === "silent";
  if (isFenced && votes.alive === 0) {
    const { state, agentUnreachable, stateMessage } = node;
    return { ...base, condition: { state, agentUnreachable, stateMessage, fenced: true } };
  }
  const checkAtMs = nextCheckMs([fencedAfterMs], silence, context);
  return { ...base, isLate: true, condition: undefined, checkAtMs };
}

/** Returns when the silence reaches the next threshold, or undefined if it has passed all of them. */
function nextCheckMs(
  thresholdsMs: readonly number[],
  { agentMs, hostMs }: Silence,
  { nowMs, failoverPause }: NodeHealthContext,
): number | undefined {
  let waitMs =
    failoverPause === undefined
      ? Number.POSITIVE_INFINITY
      : failoverPause.sinceMs + FAILOVER_PAUSE_MS - nowMs;
  if (waitMs <= 0) waitMs = Number.POSITIVE_INFINITY;
  for (const thresholdMs of thresholdsMs) {
    for (const silentMs of [agentMs, hostMs]) {
      if (silentMs < thresholdMs) waitMs = Math.min(waitMs, thresholdMs - silentMs);
    }
  }
  // Rounded up: after a wait of less than a millisecond, the clock may not have advanced.
  return waitMs === Number.POSITIVE_INFINITY ? undefined : nowMs + Math.ceil(waitMs);
}

/** Returns the desired condition, or undefined if the node has it already. */
function changedCondition(node: NodeCondition, desired: NodeCondition): NodeCondition | undefined {
  const isEqual =
    node.state === desired.state &&
    node.agentUnreachable === desired.agentUnreachable &&
    node.stateMessage === desired.stateMessage;
  return isEqual ? undefined : desired;
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
