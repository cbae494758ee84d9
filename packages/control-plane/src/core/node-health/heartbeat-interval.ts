/**
 * Heartbeat interval by cluster size.
 *
 * Four heartbeats a second while that is cheap, then fewer: the leader never reads more than about 200 a second, which
 * costs one or two percent of a CPU.
 */
const INTERVALS: readonly { readonly maxNodes: number; readonly heartbeatMs: number }[] = [
  { maxNodes: 50, heartbeatMs: 250 },
  { maxNodes: 100, heartbeatMs: 500 },
  { maxNodes: 250, heartbeatMs: 1_000 },
];

/** Interval of larger clusters. A loss is still noticed within a few seconds. */
const MAX_INTERVAL_MS = 2_000;

/** Returns the heartbeat interval for a cluster of this size. */
export function heartbeatIntervalMs(nodes: number): number {
  return INTERVALS.find(({ maxNodes }) => nodes <= maxNodes)?.heartbeatMs ?? MAX_INTERVAL_MS;
}
