import { CONFIRM_DOWN_MS, CONFIRM_DOWN_ROUNDS, scaleTiming } from "@berth/proto";

// The durations of silence at which the leader's verdict about a node can change.

/** Lateness of a heartbeat after which the host is probed. */
const LATE_MS = scaleTiming(50);
/** Lateness of a heartbeat after which a node gets no new connections, if its host does not respond to probes. */
const SUSPECT_MS = scaleTiming(150);
/**
 * Silence after which a host is down if a majority of the voters cannot reach it. A route can change within this time.
 */
export const DOWN_AFTER_MS = scaleTiming(1_400);
/** Minimum time from a missed heartbeat to a majority verdict. Applies to long heartbeat intervals. */
const DOWN_AFTER_LATE_MS = scaleTiming(1_000);
/** Time after which a new leader starts probing. Most agents have connected by then and can vote. */
export const TAKEOVER_LATE_MS = scaleTiming(100);
/** Time that a new leader waits before a majority verdict, so that nearly all agents can connect and vote. */
export const TAKEOVER_GRACE_MS = scaleTiming(1_500);
/**
 * Silence after which a host without votes is down. This time is long, because a busy or paused agent sends no
 * heartbeats either.
 */
export const DOWN_UNCONFIRMED_AFTER_MS = scaleTiming(5_000);
/** Silence after which an agent is reported as away. Restarts and upgrades of the agent take less time. */
export const AGENT_AWAY_AFTER_MS = scaleTiming(3_000);
/**
 * Silence of the agent after which a node with a live host is down, since the state of its tasks is unknown. This time
 * is long, because the node's containers probably still serve. Replacing them runs each task twice until the agent
 * returns.
 */
export const AGENT_LOST_AFTER_MS = scaleTiming(60_000);
/** Thresholds that do not depend on the node. */
const FIXED_THRESHOLDS_MS: readonly number[] = [
  AGENT_AWAY_AFTER_MS,
  DOWN_UNCONFIRMED_AFTER_MS,
  AGENT_LOST_AFTER_MS,
];

/** The values from which a node's thresholds are computed. */
export interface NodeTiming {
  /** Time of the last heartbeat. Undefined if this leader has received none yet. */
  readonly lastHeartbeatMs: number | undefined;
  readonly heartbeatMs: number;
  /** Number of the last rounds in a row in which every voter failed to reach the host. */
  readonly failedRounds: number;
}

/** Returns all thresholds of a node that is not down, in ms of silence. */
export function allThresholdsMs(timing: NodeTiming): readonly number[] {
  const lateMs = firstLateMs(timing);
  const suspectMs = suspectAfterMs(timing.heartbeatMs);
  return [lateMs, suspectMs, lateMs + CONFIRM_DOWN_MS, downAfterMs(timing), ...FIXED_THRESHOLDS_MS];
}

/** Returns the time after a heartbeat from which the next heartbeat counts as late. */
export function lateAfterMs(heartbeatMs: number): number {
  return heartbeatMs + LATE_MS;
}

/** Returns the silence after which a node is suspect when its host does not respond. */
export function suspectAfterMs(heartbeatMs: number): number {
  return heartbeatMs + SUSPECT_MS;
}

/** Returns the silence after which a node is late. A new leader uses a fixed limit before the first heartbeat. */
export function firstLateMs({ heartbeatMs, lastHeartbeatMs }: NodeTiming): number {
  return lastHeartbeatMs === undefined ? TAKEOVER_LATE_MS : lateAfterMs(heartbeatMs);
}

/** Returns the silence after which a host that a majority cannot reach is down. */
export function unreachableDownAfterMs(timing: NodeTiming): number {
  return timing.failedRounds >= CONFIRM_DOWN_ROUNDS
    ? firstLateMs(timing) + CONFIRM_DOWN_MS
    : downAfterMs(timing);
}

/** Returns the silence after which a node is down if another node has replaced it on its host. */
export function replacedAfterMs(timing: NodeTiming): number {
  return timing.lastHeartbeatMs === undefined ? DOWN_UNCONFIRMED_AFTER_MS : downAfterMs(timing);
}

function downAfterMs({ heartbeatMs, lastHeartbeatMs }: NodeTiming): number {
  const afterMs = Math.max(DOWN_AFTER_MS, heartbeatMs + DOWN_AFTER_LATE_MS);
  return lastHeartbeatMs === undefined ? Math.max(afterMs, TAKEOVER_GRACE_MS) : afterMs;
}
