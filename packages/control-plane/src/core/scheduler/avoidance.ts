import { DesiredState, type Task, TaskState } from "@berth/proto";
import { stateOf } from "../model/task-state.js";

/** Number of failures from which a node is avoided, as in Swarm. The service may have caused fewer failures itself. */
const MAX_FAILURES = 5;
/** Age at which failures no longer count, as in Swarm, because the node may have changed. */
const RECENT_MS = 5 * 60_000;

export interface AvoidanceContext {
  /** Returns whether a task runs the current template. */
  readonly isCurrent: (task: Task) => boolean;
  readonly nowMs: number;
}

/**
 * Returns the nodes to avoid for a service, with the number of its recent failures there.
 *
 * Placement only chooses an avoided node when no other node has capacity, and then the one with the fewest failures.
 * A node is avoided as soon as it rejects a task of the current template (image missing, port taken), or after several
 * failures. The failures are counted from the task history, so a new leader gets the same result.
 */
export function nodesToAvoid(
  tasks: readonly Task[],
  { isCurrent, nowMs }: AvoidanceContext,
): ReadonlyMap<string, number> {
  const failures = new Map<string, number>();
  const rejected = new Set<string>();
  for (const task of tasks) {
    if (!failedOnItsOwn(task) || !isCurrent(task)) continue;
    if ((task.status?.sinceMs ?? 0) <= nowMs - RECENT_MS) continue;
    failures.set(task.nodeId, (failures.get(task.nodeId) ?? 0) + 1);
    if (stateOf(task) === TaskState.REJECTED) rejected.add(task.nodeId);
  }
  for (const [nodeId, count] of failures) {
    if (count < MAX_FAILURES && !rejected.has(nodeId)) failures.delete(nodeId);
  }
  return failures;
}

/** Returns whether a task failed, and was not stopped by berth, a user or the shutdown of dockerd. */
function failedOnItsOwn(task: Task): boolean {
  const state = stateOf(task);
  if (state !== TaskState.FAILED && state !== TaskState.REJECTED) return false;
  if (task.status?.stoppedExternally === true) return false;
  return task.desiredState <= DesiredState.RUNNING && task.nodeId !== "";
}
