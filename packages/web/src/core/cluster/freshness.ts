/** How up to date the web UI is. */
export type Freshness =
  /** The first snapshot has not arrived. */
  | { readonly kind: "loading" }
  | { readonly kind: "live" }
  /** The web UI gets changes, but they are older than they should be. */
  | { readonly kind: "behind"; readonly byMs: number }
  /** No message since `sinceMs`. What is shown was true then. */
  | { readonly kind: "cut-off"; readonly sinceMs: number; readonly reason: string };

/** What the web UI knows about its stream. Times are of the browser's clock. */
export interface StreamCondition {
  readonly isConnected: boolean;
  /** Undefined before the first snapshot. */
  readonly lastMessageAtMs: number | undefined;
  /** Delay of the last message from the leader to the web UI, above the smallest delay that the web UI has seen. */
  readonly delayMs: number;
  /** The server sends a message at least this often. */
  readonly heartbeatMs: number;
  /** Why the stream ended. Empty while it is connected. */
  readonly reason: string;
}

/** Maximum delay that still counts as live. A viewer does not notice it. */
const BEHIND_AFTER_MS = 2_000;
/** Number of heartbeats that may be late before the web UI counts as cut off. */
const MISSED_HEARTBEATS = 2.5;

export function freshness(stream: StreamCondition, now: number): Freshness {
  const { isConnected, lastMessageAtMs, delayMs, heartbeatMs, reason } = stream;
  if (lastMessageAtMs === undefined) {
    return isConnected || reason === "" ? { kind: "loading" } : { kind: "cut-off", sinceMs: 0, reason };
  }
  if (!isConnected) return { kind: "cut-off", sinceMs: lastMessageAtMs, reason };
  if (now - lastMessageAtMs > MISSED_HEARTBEATS * heartbeatMs) {
    return { kind: "cut-off", sinceMs: lastMessageAtMs, reason: "the server is silent" };
  }
  return delayMs > BEHIND_AFTER_MS ? { kind: "behind", byMs: delayMs } : { kind: "live" };
}

/** Returns whether the web UI knows what runs. */
export function isCurrent({ kind }: Freshness): boolean {
  return kind === "live" || kind === "behind";
}
