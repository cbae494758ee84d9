import type { Runtime } from "./runtime.js";

/** Speed of the leader's time while it is ahead of the host's clock: five minutes are caught up in twenty-five. */
const SLOWED = 0.8;
/** Records further in the future were written with a wrong clock and are ignored. */
const MAX_AHEAD_MS = 60 * 60_000;

/**
 * Returns the leader's time, in whole ms since the epoch: the host's clock, but never before `recordedMs` and never
 * going back. Without this, everything that waits since a recorded moment (a monitored update, a restart delay) would
 * wait longer when the host's clock is set back, or when the previous leader's clock was ahead.
 *
 * @param recordedMs the latest time in any record
 */
export function steadyTime(
  { clock, wallClockMs: now }: Pick<Runtime, "clock" | "wallClockMs">,
  recordedMs: number,
): () => number {
  const startedMs = now();
  let timeMs = recordedMs - startedMs > MAX_AHEAD_MS ? startedMs : Math.max(startedMs, recordedMs);
  let lookedMs = clock.nowMs();
  return () => {
    const nowMs = clock.nowMs();
    timeMs = Math.max(now(), timeMs + (nowMs - lookedMs) * SLOWED);
    lookedMs = nowMs;
    return Math.floor(timeMs);
  };
}
