import type { ClusterState } from "./cluster-state.js";

/** Returns the latest time in any record, in ms since the epoch; 0 without records. */
export function latestRecordedMs({ services, tasks, nodes, audit }: ClusterState): number {
  let latestMs = 0;
  const include = (timeMs = 0): void => {
    latestMs = Math.max(latestMs, timeMs);
  };
  for (const { createdAtMs, status } of tasks.values()) {
    include(createdAtMs);
    include(status?.sinceMs);
  }
  for (const { stateSinceMs } of nodes.values()) include(stateSinceMs);
  for (const { updatedAtMs, rollout, job, cron } of services.values()) {
    include(updatedAtMs);
    include(rollout?.progressedAtMs);
    include(job?.startedAtMs);
    include(job?.endedAtMs);
    include(cron?.handledUntilMs);
  }
  include(audit.last?.timeMs);
  return latestMs;
}
