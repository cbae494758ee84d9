import type { Runtime } from "./runtime.js";

/** Speed of the leader's time while it is ahead of the host's clock. A lead of 5 minutes is gone after 25 minutes. */
const SLOW_SPEED = 0.8;
/**
 * Maximum difference by which a recorded time may be in the future. A later time was written with a wrong clock and is
 * ignored.
 */
const MAX_AHEAD_MS = 60 * 60_000;
/** Longest step by which a synchronized clock is set forward, except when its host starts or resumes. */
const MAX_FORWARD_MS = 10 * 60_000;

/**
 * Returns a function that reads the leader's time, in whole ms since the epoch. The time follows the host's clock, but it
 * never goes back and is never before `recordedMs`.
 *
 * A delay since a recorded time, such as a restart delay, would otherwise take longer when the host's clock is set back.
 * The same would happen when the previous leader's clock was ahead.
 *
 * The time does not follow a clock that is set by more than an hour back, or ten minutes forward: all deadlines would pass
 * at once. `onStep` is called with the step, and has to end the term. The next one starts with the new time.
 *
 * @param recordedMs the latest time in any record
 */
export function steadyTime(
  { clock, wallClockMs }: Pick<Runtime, "clock" | "wallClockMs">,
  recordedMs: number,
  onStep: (stepMs: number) => void = () => {},
): () => number {
  const startedMs = wallClockMs();
  let timeMs = recordedMs - startedMs > MAX_AHEAD_MS ? startedMs : Math.max(startedMs, recordedMs);
  let lastReadMs = clock.nowMs();
  let hasStepped = false;
  return () => {
    const elapsedMs = clock.nowMs() - lastReadMs;
    lastReadMs += elapsedMs;
    const wallMs = wallClockMs();
    const stepMs = wallMs - timeMs - elapsedMs;
    if (!hasStepped && (stepMs > MAX_FORWARD_MS || stepMs < -MAX_AHEAD_MS)) {
      hasStepped = true;
      onStep(stepMs);
    }
    timeMs = Math.max(hasStepped ? 0 : wallMs, timeMs + elapsedMs * SLOW_SPEED);
    return Math.floor(timeMs);
  };
}
