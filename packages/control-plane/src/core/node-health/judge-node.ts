import {
  assertNever,
  FENCED_AFTER_MS,
  LEADER_LEASE_MS,
  type Node,
  NodeState,
  PROOF_MS,
  PROOF_ROUNDS,
} from "@berth/proto";
import { evaluateVotes, type HostEvidence, type ProbeVotes } from "./probe-votes.js";
import { FREEZE_MS, type Freeze } from "./suspect-nodes.js";

/** A host is probed when its heartbeat is later than this. A probe costs little. */
const LATE_MS = 50;
/** A node whose heartbeat is later than this and whose host does not answer gets no new connections. */
const SUSPECT_MS = 150;
/** A host that most voters find silent is down after this long. Leaves a route the time to move. */
export const DOWN_AFTER_MS = 1_400;
/** Lower bound of the time from a late heartbeat to a majority verdict, for long heartbeat intervals. */
const DOWN_AFTER_LATE_MS = 1_000;
/** A new leader starts probing after this long, when most agents have connected and can vote. */
export const TAKEOVER_LATE_MS = 100;
/** A new leader waits this long before a majority verdict, so that nearly all agents can connect and vote. */
export const TAKEOVER_GRACE_MS = 1_500;
/** A host that no voter has reported on is down after this long. An agent that is busy or paused is silent, too. */
export const DOWN_UNCONFIRMED_AFTER_MS = 5_000;
/** An agent that does not answer is reported after this long. A restart or upgrade of the agent is over by then. */
export const AGENT_AWAY_AFTER_MS = 3_000;
/**
 * A live host without its agent is given up after this long, since nothing is known about its tasks.
 *
 * Long, because its containers probably still serve: replacing them runs each task twice until the agent returns.
 */
export const AGENT_LOST_AFTER_MS = 60_000;
/** At most this much of an agent's reported lag excuses its silence. */
const MAX_AGENT_LAG_MS = 1_000;

/** Observations of one node. Times are in ms of the leader's monotonic clock. */
export interface NodeHealthInput {
  readonly node: Pick<Node, "state" | "agentUnreachable" | "fenced" | "stateMessage" | "ignoresProbes">;
  /** Undefined when this leader has received no heartbeat yet. */
  readonly lastHeartbeatMs: number | undefined;
  readonly heartbeatMs: number;
  /** Event loop lag that the agent reported with its last heartbeat. */
  readonly agentLagMs: number;
  /** Votes of the last probe round of this silence. */
  readonly votes: ProbeVotes;
  /** Number of the last rounds in a row in which every voter failed to reach the host. */
  readonly failedRounds: number;
  /** When the host last answered a probe. */
  readonly hostAnsweredMs: number | undefined;
  /** Id of a node on the same host that was first heard during this silence. Undefined when there is none. */
  readonly replacedBy: string | undefined;
}

export interface NodeHealthContext {
  readonly now: number;
  /** When this server became the leader. Earlier silence does not count. */
  readonly leadingSinceMs: number;
  /** Lag of the leader's event loop: heartbeats and votes may have been waiting unread for this long. */
  readonly lagMs: number;
  readonly freeze: Freeze | undefined;
}

/** The health fields of a node record. */
export type NodeCondition = Pick<Node, "state" | "agentUnreachable" | "fenced" | "stateMessage">;

export interface NodeHealthVerdict {
  /** The condition to write. Undefined when it is unchanged. */
  readonly condition: NodeCondition | undefined;
  /** Whether the node gets no new connections for now. False when the node is down. */
  readonly isSuspect: boolean;
  /** Whether the host should be probed. */
  readonly isLate: boolean;
  /** When to judge again unless something is heard before. Undefined when time alone changes nothing. */
  readonly checkAtMs: number | undefined;
}

const READY: NodeCondition = {
  state: NodeState.READY,
  agentUnreachable: false,
  fenced: false,
  stateMessage: "",
};
const AGENT_AWAY: NodeCondition = {
  ...READY,
  agentUnreachable: true,
  stateMessage: "its agent does not answer, but its host is up and its tasks keep running",
};

/** How long a node has been silent. The lag of the leader and of the agent is subtracted. */
interface Silence {
  /** Since the last heartbeat. */
  readonly agentMs: number;
  /** Since the last heartbeat or probe answer. */
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

/** Returns how long after a heartbeat the next one counts as late. */
export const lateAfterMs = (heartbeatMs: number): number => heartbeatMs + LATE_MS;

function measureSilence(input: NodeHealthInput, { now, leadingSinceMs, lagMs }: NodeHealthContext): Silence {
  const heardMs = Math.max(input.lastHeartbeatMs ?? leadingSinceMs, leadingSinceMs);
  const excusedMs = Math.max(0, lagMs) + Math.min(Math.max(0, input.agentLagMs), MAX_AGENT_LAG_MS);
  const evidence = evaluateVotes(input.votes);
  const isReliable = evidence !== "silent" || !input.node.ignoresProbes;
  return {
    agentMs: now - heardMs - excusedMs,
    hostMs: now - Math.max(heardMs, input.hostAnsweredMs ?? 0) - excusedMs,
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
  const lateMs = lateThresholdMs(input);
  const suspectMs = heartbeatMs + SUSPECT_MS;
  const thresholds = [lateMs, suspectMs, lateMs + PROOF_MS, downAfterMs(input), ...FIXED_THRESHOLDS_MS];
  const checkAtMs = nextCheckMs(thresholds, silence, context);
  if (agentMs < lateMs) {
    const condition = isUnheard ? undefined : changedCondition(node, READY);
    return { condition, isSuspect: false, isLate: false, checkAtMs };
  }
  const downReason =
    context.freeze === undefined
      ? findDownReason(input, silence)
      : downReasonDuringFreeze(input, silence, context.freeze, context.now);
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
  const condition = isSuspect ? frozenCondition(node, context.freeze) : awayCondition(node, silence);
  return { condition, isSuspect, isLate: true, checkAtMs };
}

const FIXED_THRESHOLDS_MS: readonly number[] = [
  AGENT_AWAY_AFTER_MS,
  DOWN_UNCONFIRMED_AFTER_MS,
  AGENT_LOST_AFTER_MS,
];

function lateThresholdMs({ heartbeatMs, lastHeartbeatMs }: NodeHealthInput): number {
  return lastHeartbeatMs === undefined ? TAKEOVER_LATE_MS : lateAfterMs(heartbeatMs);
}

/** Returns how long a host must have been silent to be down when the voters find it silent. */
function silentDownAfterMs(input: NodeHealthInput): number {
  return input.failedRounds >= PROOF_ROUNDS ? lateThresholdMs(input) + PROOF_MS : downAfterMs(input);
}

function downAfterMs({ heartbeatMs, lastHeartbeatMs }: NodeHealthInput): number {
  const afterMs = Math.max(DOWN_AFTER_MS, heartbeatMs + DOWN_AFTER_LATE_MS);
  return lastHeartbeatMs === undefined ? Math.max(afterMs, TAKEOVER_GRACE_MS) : afterMs;
}

/** Returns how long a node stays up after another node appeared on its host. A new leader waits longer. */
function replacedAfterMs(input: NodeHealthInput): number {
  return input.lastHeartbeatMs === undefined ? DOWN_UNCONFIRMED_AFTER_MS : downAfterMs(input);
}

/** Returns why the node is down. Undefined when it may be up. */
function findDownReason(input: NodeHealthInput, { agentMs, hostMs, evidence }: Silence): string | undefined {
  switch (evidence) {
    case "silent": {
      const { silent, asked } = input.votes;
      return hostMs >= silentDownAfterMs(input)
        ? `its host has been silent for ${seconds(hostMs)} s: ${silent} of ${asked} probes failed`
        : undefined;
    }
    case "unknown":
      return hostMs >= DOWN_UNCONFIRMED_AFTER_MS
        ? `no heartbeat and no probe answer for ${seconds(hostMs)} s`
        : undefined;
    case "lives":
      if (input.replacedBy !== undefined && agentMs >= replacedAfterMs(input)) {
        return `its host has come back as node ${input.replacedBy}`;
      }
      return agentMs >= AGENT_LOST_AFTER_MS
        ? `its agent has not answered for ${seconds(agentMs)} s, although its host is up`
        : undefined;
    default:
      return assertNever(evidence);
  }
}

/**
 * During a freeze no node is down. Afterwards only confirmed silence counts, until the freeze ends.
 *
 * Whether this leader can still write needs no check of its own: a verdict that etcd rejects has no effect.
 */
function downReasonDuringFreeze(
  input: NodeHealthInput,
  silence: Silence,
  freeze: Freeze,
  now: number,
): string | undefined {
  if (now < freeze.sinceMs + FREEZE_MS) return undefined;
  const isConfirmed = silence.evidence === "silent" || input.node.ignoresProbes;
  return isConfirmed ? findDownReason(input, silence) : undefined;
}

/** Records on a suspect node why it is not replaced. Undefined when there is no freeze. */
function frozenCondition(node: NodeCondition, freeze: Freeze | undefined): NodeCondition | undefined {
  if (freeze === undefined) return undefined;
  const { agentUnreachable } = node;
  return changedCondition(node, { ...READY, agentUnreachable, stateMessage: freeze.reason });
}

function awayCondition(node: NodeCondition, { agentMs, evidence }: Silence): NodeCondition | undefined {
  return evidence === "lives" && agentMs >= AGENT_AWAY_AFTER_MS
    ? changedCondition(node, AGENT_AWAY)
    : undefined;
}

/** Only a heartbeat makes a down node ready again: neither a new leader's grace period nor a probe answer does. */
function judgeDownNode(
  input: NodeHealthInput,
  silence: Silence,
  context: NodeHealthContext,
): NodeHealthVerdict {
  const { node, votes, heartbeatMs } = input;
  const { agentMs, hostMs, evidence, isUnheard } = silence;
  const done = { isSuspect: false, isLate: false, checkAtMs: undefined };
  if (!isUnheard && agentMs < lateAfterMs(heartbeatMs)) return { ...done, condition: READY };
  if (node.fenced) return { ...done, condition: undefined };
  // The former leader may have acknowledged heartbeats until its lease ran out.
  const fencedAfterMs = FENCED_AFTER_MS + (isUnheard ? LEADER_LEASE_MS : 0);
  const isFenced = agentMs >= fencedAfterMs && hostMs >= DOWN_AFTER_MS && evidence === "silent";
  if (isFenced && votes.alive === 0) {
    const { state, agentUnreachable, stateMessage } = node;
    return { ...done, condition: { state, agentUnreachable, stateMessage, fenced: true } };
  }
  const checkAtMs = nextCheckMs([fencedAfterMs], silence, context);
  return { ...done, isLate: true, condition: undefined, checkAtMs };
}

/** Returns when the silence reaches the next threshold. Undefined when it has passed all of them. */
function nextCheckMs(
  thresholdsMs: readonly number[],
  { agentMs, hostMs }: Silence,
  { now, freeze }: NodeHealthContext,
): number | undefined {
  let waitMs = freeze === undefined ? Number.POSITIVE_INFINITY : freeze.sinceMs + FREEZE_MS - now;
  if (waitMs <= 0) waitMs = Number.POSITIVE_INFINITY;
  for (const thresholdMs of thresholdsMs) {
    for (const silentMs of [agentMs, hostMs]) {
      if (silentMs < thresholdMs) waitMs = Math.min(waitMs, thresholdMs - silentMs);
    }
  }
  // Rounded up: a wait of a fraction of a millisecond would end before the clock advances, and spin.
  return waitMs === Number.POSITIVE_INFINITY ? undefined : now + Math.ceil(waitMs);
}

function changedCondition(node: NodeCondition, wanted: NodeCondition): NodeCondition | undefined {
  const isEqual =
    node.state === wanted.state &&
    node.agentUnreachable === wanted.agentUnreachable &&
    node.stateMessage === wanted.stateMessage;
  return isEqual ? undefined : wanted;
}

const seconds = (ms: number): string => (ms / 1_000).toFixed(1);
