import type { ClusterState } from "../state/cluster-state.js";
import type { Runtime } from "./runtime.js";

/** How fast time goes for a leader that is ahead of its host's clock: five minutes are made up for in twenty-five. */
const SLOWED = 0.8;
/** Records that are further ahead were written by a clock that was simply wrong: they are not followed. */
const MAX_AHEAD_MS = 60 * 60_000;

/**
 * The leader's time: that of its host's clock, but never earlier than the records say that it was, and never going
 * back. Otherwise everything that waits since a recorded moment (an update that is watched, a restart) would wait for
 * as long as the clock went back, or as the clock of the leader before was ahead. Whole milliseconds since 1970.
 */
export function steadyTime({ clock, now }: Pick<Runtime, "clock" | "now">, recordedMs: number): () => number {
  const beganMs = now();
  let timeMs = recordedMs - beganMs > MAX_AHEAD_MS ? beganMs : Math.max(beganMs, recordedMs);
  let lookedMs = clock.nowMs();
  return () => {
    const nowMs = clock.nowMs();
    timeMs = Math.max(now(), timeMs + (nowMs - lookedMs) * SLOWED);
    lookedMs = nowMs;
    return Math.floor(timeMs);
  };
}

/** The latest moment that any record says has been; 0 without records. */
export function latestRecordedMs({ services, tasks, nodes }: ClusterState): number {
  let latestMs = 0;
  const note = (atMs = 0): void => {
    if (atMs > latestMs) latestMs = atMs;
  };
  for (const { createdAtMs, status } of tasks.values()) {
    note(createdAtMs);
    note(status?.sinceMs);
  }
  for (const { stateSinceMs } of nodes.values()) note(stateSinceMs);
  for (const { updatedAtMs, rollout, job, cron } of services.values()) {
    note(updatedAtMs);
    note(rollout?.progressedAtMs);
    note(job?.startedAtMs);
    note(cron?.handledUntilMs);
  }
  return latestMs;
}
