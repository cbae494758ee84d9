import { NO_VOTES, type ProbeVotes } from "../core/node-health/probe-votes.js";

/** What a leader remembers of one node between two looks at it. Nothing of it is stored. */
export interface NodeObservation {
  /** Undefined: its agent was not heard since this server leads. */
  lastHeartbeatMs: number | undefined;
  /** How late its agent's event loop ran when it was last heard. */
  agentLagMs: number;
  /** Of the last round of questions in this silence. */
  votes: ProbeVotes;
  /** The last rounds in a row in which several were asked and nobody reached its host. */
  failedRounds: number;
  /** When its host last answered a probe. */
  hostAnsweredMs: number | undefined;
  /** Its host is not asked after before this time. */
  nextRoundMs: number;
  isWriting: boolean;
}

export const newObservation = (): NodeObservation => ({
  lastHeartbeatMs: undefined,
  agentLagMs: 0,
  votes: NO_VOTES,
  failedRounds: 0,
  hostAnsweredMs: undefined,
  nextRoundMs: 0,
  isWriting: false,
});
