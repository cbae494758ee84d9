import type { ReportedTask } from "@berth/proto";
import { transition } from "../core/model/task-transition.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";

/** Something a node said of one of its tasks. */
export interface Report {
  readonly nodeId: string;
  readonly task: ReportedTask;
}

/** What reports change. Those about tasks that are unknown, elsewhere or further on change nothing. */
export function reportedChanges(
  reports: readonly Report[],
  state: ClusterState,
  now: number,
): readonly Change[] {
  return reports.flatMap((report) => reportedChange(report, state, now));
}

function reportedChange({ nodeId, task: reported }: Report, state: ClusterState, now: number): Change[] {
  const task = state.tasks.get(reported.taskId);
  if (task === undefined) return [];
  const { status, removed } = reported;
  const result = transition(task, { nodeId, status, removed }, now);
  switch (result.kind) {
    case "updated":
      return [{ kind: "put-task", task: result.task }];
    case "deleted":
      return [{ kind: "delete-task", serviceId: task.serviceId, taskId: task.id }];
    default:
      return [];
  }
}
