import type { ClusterState } from "./cluster-state.js";

/** Returns the latest time in any record, in ms since the epoch; 0 without records. */
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
