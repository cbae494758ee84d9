import { type Node, NodeState } from "@berth/proto";
import { evidenceOf, type HostEvidence, type ProbeVotes } from "./probe-votes.js";
import { FREEZE_MS, type Freeze } from "./suspect-nodes.js";

/** A heartbeat that is later than this is asked after: a probe costs little. */
const LATE_MS = 50;
/** Later than this, and with a host that does not answer: new connections go elsewhere. Nothing else happens. */
const SUSPECT_MS = 150;
/** With the word of most of those who could know: long enough for a route to move. */
export const DOWN_AFTER_MS = 1_400;
/** Two rounds in which everybody asked in vain leave nothing to wait for. */
const PROOF_ROUNDS = 2;
/**
 * What two rounds take at least: the server's own probe alone at first, then twice the two tries of everybody. With
 * heartbeats every 250 ms a host is down 1.0 s after its last one.
 */
export const PROOF_MS = 700;
/** After a takeover hosts are asked after as soon as most agents have found the new leader, and can be witnesses. */
export const TAKEOVER_LATE_MS = 100;
/** With slow heartbeats the silence before the first question is long; the questions take their time all the same. */
const DOWN_AFTER_LATE_MS = 1_000;
/** Enough for nearly all agents to find a new leader, so that peers can be asked; a host that lives answers all the time. */
export const TAKEOVER_GRACE_MS = 1_500;
/** Without anybody's word on the host: seconds of silence, as a busy or paused agent is silent, too. */
export const DOWN_UNCONFIRMED_AFTER_MS = 5_000;
/** An agent that is upgraded or restarted is back by then, and nobody needs to hear of it. */
export const AGENT_AWAY_AFTER_MS = 3_000;
/**
 * A host whose agent does not come back is given up: nobody sees any more whether what runs there does. Long, as its
 * containers probably serve, and replacing them makes two of each until it returns.
 */
export const AGENT_LOST_AFTER_MS = 60_000;
/**
 * An agent that lost its leader has killed its at-most-one tasks by then: it stops them after 6 s without an
 * acknowledgement and gives them 1 s; the rest is for Docker. Counted from the last heartbeat that was heard, and any
 * that was acknowledged had been heard.
 */
export const FENCED_AFTER_MS = 9_000;
/** A leader that was deposed may have acknowledged heartbeats for as long as its lease can have lasted. */
const FORMER_LEADER_MS = 3_000;
/** A slow agent is given at most this much for the lag that it tells of. */
const MAX_AGENT_LAG_MS = 1_000;

/** What is known of one node. Times are of the clock of the leader that asks. */
export interface NodeHealthInput {
  readonly node: Pick<Node, "state" | "agentUnreachable" | "fenced" | "stateMessage" | "ignoresProbes">;
  /** When its agent was last heard; undefined: never since this server leads. */
  readonly lastHeartbeatMs: number | undefined;
  readonly heartbeatMs: number;
  /** How late its event loop ran when it was last heard. */
  readonly agentLagMs: number;
  /** Of the last round of questions; none while there was none in this silence. */
  readonly votes: ProbeVotes;
  /** The last rounds in a row in which several were asked and nobody reached its host. */
  readonly failedRounds: number;
  /** When its host last answered a probe. */
  readonly hostAnsweredMs: number | undefined;
  /** Another node is heard from its host since it fell silent itself: its id. Undefined: there is none. */
  readonly replacedBy: string | undefined;
}

export interface NodeHealthContext {
  readonly now: number;
  /** When this server became the leader: nobody is blamed for what was said to the one before. */
  readonly leadingSinceMs: number;
  /** How late our own event loop runs: beats and answers may be waiting unread for that long. */
  readonly lagMs: number;
  readonly freeze: Freeze | undefined;
}

/** What the node's record is to say. */
export type NodeCondition = Pick<Node, "state" | "agentUnreachable" | "fenced" | "stateMessage">;

export interface NodeHealthVerdict {
  /** Undefined: as it is. */
  readonly condition: NodeCondition | undefined;
  /** Takes no new connections for now. Of a node that is not down. */
  readonly isSuspect: boolean;
  /** The host is to be asked after. */
  readonly isLate: boolean;
  /** When to judge again, unless something is heard before; undefined: there is nothing to wait for. */
  readonly checkAtMs: number | undefined;
}

/** A node whose agent was heard lately. */
const READY: NodeCondition = {
  state: NodeState.READY,
  agentUnreachable: false,
  fenced: false,
  stateMessage: "",
};
const AWAY: NodeCondition = {
  ...READY,
  agentUnreachable: true,
  stateMessage: "its agent does not answer; its host lives, and what runs there goes on",
};

/** The silence of one node, seen from all sides; durations without what our own and its agent's lag explain. */
interface Silence {
  readonly agentMs: number;
  /** Since its agent was heard or its kernel answered. */
  readonly hostMs: number;
  readonly evidence: HostEvidence;
  readonly isUnheard: boolean;
}

/** Whether a node lives. */
export function judgeNode(pulse: NodeHealthInput, context: NodeHealthContext): NodeHealthVerdict {
  const silence = silenceOf(pulse, context);
  return pulse.node.state === NodeState.DOWN
    ? judgeDown(pulse, silence, context)
    : judgeUp(pulse, silence, context);
}

/** How long after its last heartbeat a node is asked after. */
export const lateAfterMs = (heartbeatMs: number): number => heartbeatMs + LATE_MS;

function silenceOf(pulse: NodeHealthInput, { now, leadingSinceMs, lagMs }: NodeHealthContext): Silence {
  const heardMs = Math.max(pulse.lastHeartbeatMs ?? leadingSinceMs, leadingSinceMs);
  const excusedMs = Math.max(0, lagMs) + Math.min(Math.max(0, pulse.agentLagMs), MAX_AGENT_LAG_MS);
  const evidence = evidenceOf(pulse.votes);
  const isProof = evidence !== "silent" || !pulse.node.ignoresProbes;
  return {
    agentMs: now - heardMs - excusedMs,
    hostMs: now - Math.max(heardMs, pulse.hostAnsweredMs ?? 0) - excusedMs,
    evidence: isProof ? evidence : "unknown",
    isUnheard: pulse.lastHeartbeatMs === undefined,
  };
}

function judgeUp(pulse: NodeHealthInput, silence: Silence, context: NodeHealthContext): NodeHealthVerdict {
  const { node, heartbeatMs } = pulse;
  const { agentMs, evidence, isUnheard } = silence;
  const lateMs = lateMsOf(pulse);
  const thresholds = [
    lateMs,
    heartbeatMs + SUSPECT_MS,
    lateMs + PROOF_MS,
    downAfterMs(pulse),
    ...FIXED_THRESHOLDS_MS,
  ];
  const checkAtMs = nextCheck(thresholds, silence, context);
  if (agentMs < lateMs) {
    const condition = isUnheard ? undefined : changed(node, READY);
    return { condition, isSuspect: false, isLate: false, checkAtMs };
  }
  const death =
    context.freeze === undefined ? deathOf(pulse, silence) : deathInFreeze(pulse, silence, context);
  if (death !== undefined) {
    const condition = { state: NodeState.DOWN, agentUnreachable: false, fenced: false, stateMessage: death };
    // Until that is stored, the dead host gets no connections either.
    return { condition, isSuspect: evidence !== "lives", isLate: true, checkAtMs: undefined };
  }
  const isSuspect = agentMs >= heartbeatMs + SUSPECT_MS && evidence !== "lives";
  const condition = isSuspect ? held(node, context.freeze) : away(node, silence);
  return { condition, isSuspect, isLate: true, checkAtMs };
}

const FIXED_THRESHOLDS_MS: readonly number[] = [
  AGENT_AWAY_AFTER_MS,
  DOWN_UNCONFIRMED_AFTER_MS,
  AGENT_LOST_AFTER_MS,
];

function lateMsOf({ heartbeatMs, lastHeartbeatMs: lastBeatMs }: NodeHealthInput): number {
  return lastBeatMs === undefined ? TAKEOVER_LATE_MS : lateAfterMs(heartbeatMs);
}

/** How long a host that is found silent must have been so, to be dead. */
function deadAfterMs(pulse: NodeHealthInput): number {
  const isProven = pulse.failedRounds >= PROOF_ROUNDS;
  return isProven ? lateMsOf(pulse) + PROOF_MS : downAfterMs(pulse);
}

function downAfterMs({ heartbeatMs, lastHeartbeatMs: lastBeatMs }: NodeHealthInput): number {
  const afterMs = Math.max(DOWN_AFTER_MS, heartbeatMs + DOWN_AFTER_LATE_MS);
  return lastBeatMs === undefined ? Math.max(afterMs, TAKEOVER_GRACE_MS) : afterMs;
}

/** The host's answers are another node's. A leader that has never heard this one gives it time to come, too. */
function succeededAfterMs(pulse: NodeHealthInput): number {
  return pulse.lastHeartbeatMs === undefined ? DOWN_UNCONFIRMED_AFTER_MS : downAfterMs(pulse);
}

/** Why the node is dead; undefined: it may live. */
function deathOf(pulse: NodeHealthInput, { agentMs, hostMs, evidence }: Silence): string | undefined {
  switch (evidence) {
    case "silent": {
      const { silent, asked } = pulse.votes;
      return hostMs >= deadAfterMs(pulse)
        ? `its host has been silent for ${seconds(hostMs)} s, say ${silent} of ${asked} that were asked`
        : undefined;
    }
    case "unknown":
      return hostMs >= DOWN_UNCONFIRMED_AFTER_MS
        ? `nothing was heard of it for ${seconds(hostMs)} s`
        : undefined;
    case "lives":
      if (pulse.replacedBy !== undefined && agentMs >= succeededAfterMs(pulse)) {
        return `its host has come back as node ${pulse.replacedBy}`;
      }
      return agentMs >= AGENT_LOST_AFTER_MS
        ? `its agent has not answered for ${seconds(agentMs)} s, though its host lives`
        : undefined;
  }
}

/** That etcd takes our writes needs no question of its own: a death that it does not take has not happened. */
function deathInFreeze(
  pulse: NodeHealthInput,
  silence: Silence,
  { freeze, now }: NodeHealthContext,
): string | undefined {
  if (freeze !== undefined && now < freeze.sinceMs + FREEZE_MS) return undefined;
  return silence.evidence === "silent" || pulse.node.ignoresProbes ? deathOf(pulse, silence) : undefined;
}

/** Says on a suspect node's record why it is not replaced. */
function held(node: NodeCondition, freeze: Freeze | undefined): NodeCondition | undefined {
  return (
    freeze && changed(node, { ...READY, agentUnreachable: node.agentUnreachable, stateMessage: freeze.why })
  );
}

function away(node: NodeCondition, { agentMs, evidence }: Silence): NodeCondition | undefined {
  return evidence === "lives" && agentMs >= AGENT_AWAY_AFTER_MS ? changed(node, AWAY) : undefined;
}

/** A node that is down comes back by a beat, never by a new leader's grace or by an answer of its kernel. */
function judgeDown(pulse: NodeHealthInput, silence: Silence, context: NodeHealthContext): NodeHealthVerdict {
  const { node, votes: testimony, heartbeatMs } = pulse;
  const { agentMs, hostMs, evidence, isUnheard } = silence;
  const done = { isSuspect: false, isLate: false, checkAtMs: undefined };
  if (!isUnheard && agentMs < lateAfterMs(heartbeatMs)) return { ...done, condition: READY };
  if (node.fenced) return { ...done, condition: undefined };
  const fencedAfterMs = FENCED_AFTER_MS + (isUnheard ? FORMER_LEADER_MS : 0);
  const isFenced = agentMs >= fencedAfterMs && hostMs >= DOWN_AFTER_MS && evidence === "silent";
  if (isFenced && testimony.alive === 0) {
    const { state, agentUnreachable, stateMessage } = node;
    return { ...done, condition: { state, agentUnreachable, stateMessage, fenced: true } };
  }
  return {
    ...done,
    isLate: true,
    condition: undefined,
    checkAtMs: nextCheck([fencedAfterMs], silence, context),
  };
}

/** The earliest threshold that the silence has not reached; undefined: it has passed them all. */
function nextCheck(
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
  // Whole milliseconds: a wait too short to move the clock would end before it began, over and over.
  return waitMs === Number.POSITIVE_INFINITY ? undefined : now + Math.ceil(waitMs);
}

function changed(node: NodeCondition, wanted: NodeCondition): NodeCondition | undefined {
  const isSame =
    node.state === wanted.state &&
    node.agentUnreachable === wanted.agentUnreachable &&
    node.stateMessage === wanted.stateMessage;
  return isSame ? undefined : wanted;
}

const seconds = (ms: number): string => (ms / 1_000).toFixed(1);
