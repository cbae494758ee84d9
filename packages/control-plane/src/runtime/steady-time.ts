import type { Runtime } from "./runtime.js";

/** Speed of the leader's time while it is ahead of the host's clock. A lead of 5 minutes is gone after 25 minutes. */
const SLOW_SPEED = 0.8;
/** A recorded time that is further in the future was written with a wrong clock and is ignored. */
const MAX_AHEAD_MS = 60 * 60_000;

/**
 * Returns a function that reads the leader's time, in whole ms since the epoch. The time follows the host's clock, but it
 * never goes back and is never before `recordedMs`.
 *
 * A delay since a recorded time, such as a restart delay, would otherwise take longer when the host's clock is set back.
 * The same would happen when the previous leader's clock was ahead.
 *
 * @param recordedMs the latest time in any record
 */
export function steadyTime(
  { clock, wallClockMs }: Pick<Runtime, "clock" | "wallClockMs">,
  recordedMs: number,
): () => number {
  const startedMs = wallClockMs();
  let timeMs = recordedMs - startedMs > MAX_AHEAD_MS ? startedMs : Math.max(startedMs, recordedMs);
  let lastReadMs = clock.nowMs();
  return () => {
    const monotonicMs = clock.nowMs();
    timeMs = Math.max(wallClockMs(), timeMs + (monotonicMs - lastReadMs) * SLOW_SPEED);
    lastReadMs = monotonicMs;
    return Math.floor(timeMs);
  };
}
