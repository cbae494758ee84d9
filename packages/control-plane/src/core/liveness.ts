import { NodeState } from "@berth/proto";

/** How often an agent says that it lives. */
export const HEARTBEAT_MS = 500;
/** Six beats: a few lost packets or a busy host are no death, and replacements still start within seconds. */
export const DOWN_AFTER_MS = 3_000;

/** What is known of one node. */
export interface Pulse {
  readonly state: NodeState;
  /** When its last heartbeat came in, by our clock; undefined: none since this server leads. */
  readonly lastBeatMs: number | undefined;
}

export interface LivenessContext {
  readonly now: number;
  /** When this server became the leader: nobody is blamed for what was said to the one before. */
  readonly leadingSinceMs: number;
  /** How late our own event loop runs: beats may be waiting unread for that long. */
  readonly lagMs: number;
}

export type Verdict =
  | { readonly kind: "unchanged"; readonly checkAtMs?: number }
  | { readonly kind: "ready"; readonly reason: string; readonly checkAtMs: number }
  | { readonly kind: "down"; readonly reason: string };

/** Whether a node lives. `checkAtMs` is when to ask again, unless a beat comes in before. */
export function judge(pulse: Pulse, { now, leadingSinceMs, lagMs }: LivenessContext): Verdict {
  const heardMs = Math.max(pulse.lastBeatMs ?? leadingSinceMs, leadingSinceMs);
  const deadlineMs = heardMs + DOWN_AFTER_MS + Math.max(0, lagMs);
  if (now < deadlineMs) return whileAlive(pulse, deadlineMs);
  if (pulse.state === NodeState.DOWN) return { kind: "unchanged" };
  const seconds = ((now - heardMs) / 1000).toFixed(1);
  return { kind: "down", reason: `no heartbeat for ${seconds} s` };
}

/** A node that is down comes back by a beat, never by a new leader's grace. */
function whileAlive(pulse: Pulse, deadlineMs: number): Verdict {
  if (pulse.state === NodeState.READY) return { kind: "unchanged", checkAtMs: deadlineMs };
  if (pulse.lastBeatMs === undefined) return { kind: "unchanged" };
  return { kind: "ready", reason: "its agent is connected", checkAtMs: deadlineMs };
}
