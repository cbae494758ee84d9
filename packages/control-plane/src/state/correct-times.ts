import type { Node, Service, Task } from "@berth/proto";
import type { ClusterState } from "./cluster-state.js";

/**
 * Replaces times in the future by the current time, in memory only, before a term starts. Returns the number of
 * records.
 *
 * Such a time was written with a clock that was wrong by more than an hour; otherwise, the leader's time starts at the
 * latest record. Delays since that time would last until the clock has caught up. The scheduled times of cron jobs are
 * kept, because they have been handled.
 */
export function correctFutureTimes(
  { tasks, nodes, services }: Pick<ClusterState, "tasks" | "nodes" | "services">,
  nowMs: number,
): number {
  const correct = (timeMs: number): number => Math.min(timeMs, nowMs);
  const wrongTasks = [...tasks.values()].filter((task) => isAfter(taskTimes(task), nowMs));
  for (const task of wrongTasks) {
    const { status } = task;
    tasks.put({
      ...task,
      createdAtMs: correct(task.createdAtMs),
      status: status && {
        ...status,
        sinceMs: correct(status.sinceMs),
        runningSinceMs: status.runningSinceMs === undefined ? undefined : correct(status.runningSinceMs),
      },
    });
  }
  const wrongNodes = [...nodes.values()].filter((node) => isAfter(nodeTimes(node), nowMs));
  for (const node of wrongNodes) {
    nodes.put({ ...node, createdAtMs: correct(node.createdAtMs), stateSinceMs: correct(node.stateSinceMs) });
  }
  const wrongServices = [...services.values()].filter((service) => isAfter(serviceTimes(service), nowMs));
  for (const service of wrongServices) {
    const { rollout, job } = service;
    services.put({
      ...service,
      updatedAtMs: correct(service.updatedAtMs),
      rollout: rollout && { ...rollout, progressedAtMs: correct(rollout.progressedAtMs) },
      job: job && { ...job, startedAtMs: correct(job.startedAtMs), endedAtMs: correct(job.endedAtMs) },
    });
  }
  return wrongTasks.length + wrongNodes.length + wrongServices.length;
}

function isAfter(times: readonly (number | undefined)[], nowMs: number): boolean {
  return times.some((timeMs = 0) => timeMs > nowMs);
}

function taskTimes({ createdAtMs, status }: Task): readonly (number | undefined)[] {
  return [createdAtMs, status?.sinceMs, status?.runningSinceMs];
}

function nodeTimes({ createdAtMs, stateSinceMs }: Node): readonly number[] {
  return [createdAtMs, stateSinceMs];
}

function serviceTimes({ updatedAtMs, rollout, job }: Service): readonly (number | undefined)[] {
  return [updatedAtMs, rollout?.progressedAtMs, job?.startedAtMs, job?.endedAtMs];
}
