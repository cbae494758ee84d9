import { scaleTiming } from "@berth/proto";

/**
 * Heartbeat intervals of agents, by cluster size. The leader reads at most about 200 heartbeats per second, which costs
 * 1 to 2 % of a CPU.
 */
const INTERVALS_BY_NODES: readonly { readonly maxNodes: number; readonly heartbeatMs: number }[] = [
  { maxNodes: 50, heartbeatMs: 250 },
  { maxNodes: 100, heartbeatMs: 500 },
  { maxNodes: 250, heartbeatMs: 1_000 },
];

/** Heartbeat interval in larger clusters. The leader still detects a loss within a few seconds. */
const MAX_INTERVAL_MS = 2_000;

/** Returns the heartbeat interval for a cluster of this size. */
export function heartbeatIntervalMs(nodes: number): number {
  const interval = INTERVALS_BY_NODES.find(({ maxNodes }) => nodes <= maxNodes);
  return scaleTiming(interval?.heartbeatMs ?? MAX_INTERVAL_MS);
}
