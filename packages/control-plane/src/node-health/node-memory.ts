import { NO_TESTIMONY, type Testimony } from "../core/node-health/witnesses.js";

/** What a leader remembers of one node between two looks at it. Nothing of it is stored. */
export interface NodeMemory {
  /** Undefined: its agent was not heard since this server leads. */
  lastBeatMs: number | undefined;
  /** How late its agent's event loop ran when it was last heard. */
  agentLagMs: number;
  /** Of the last round of questions in this silence. */
  testimony: Testimony;
  /** The last rounds in a row in which several were asked and nobody reached its host. */
  vainRounds: number;
  /** When its host last answered a probe. */
  answeredMs: number | undefined;
  /** Its host is not asked after before this time. */
  askAgainMs: number;
  isWriting: boolean;
}

export const blankMemory = (): NodeMemory => ({
  lastBeatMs: undefined,
  agentLagMs: 0,
  testimony: NO_TESTIMONY,
  vainRounds: 0,
  answeredMs: undefined,
  askAgainMs: 0,
  isWriting: false,
});
