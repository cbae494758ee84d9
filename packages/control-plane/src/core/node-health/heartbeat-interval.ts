/**
 * How often an agent says that it lives, by the number of nodes. Four times a second while that is cheap; then slower,
 * so that a server never reads more than some 200 heartbeats a second, which is one or two percent of a processor.
 */
const RATES: readonly { readonly upToNodes: number; readonly heartbeatMs: number }[] = [
  { upToNodes: 50, heartbeatMs: 250 },
  { upToNodes: 100, heartbeatMs: 500 },
  { upToNodes: 250, heartbeatMs: 1_000 },
];

/** The slowest: what dies in a cluster of thousands is still noticed within a few seconds. */
const SLOWEST_MS = 2_000;

export function heartbeatIntervalMs(nodes: number): number {
  return RATES.find(({ upToNodes }) => nodes <= upToNodes)?.heartbeatMs ?? SLOWEST_MS;
}
