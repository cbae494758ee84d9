import { DesiredState, type Task, TaskState } from "@berth/proto";
import { stateOf } from "../model/task-state.js";

/** A node is avoided from this number of failures on. Fewer may be the service's own fault. Swarm uses the same. */
const MAX_FAILURES = 5;
/** Older failures say nothing about the present state of a node. Swarm uses the same. */
const RECENT_MS = 5 * 60_000;

/**
 * Returns the nodes to avoid for a service, with the number of its recent failures there.
 *
 * Placement chooses an avoided node only when no other node has capacity, those with the fewest failures first. A node
 * is avoided as soon as it rejects a task of the current template (image missing, port taken), or after several
 * failures. Counted from the task history, so a new leader comes to the same result.
 */
export function nodesToAvoid(
  tasks: readonly Task[],
  { isCurrent, now }: { readonly isCurrent: (task: Task) => boolean; readonly now: number },
): ReadonlyMap<string, number> {
  const failures = new Map<string, number>();
  const rejected = new Set<string>();
  for (const task of tasks) {
    if (!failedOnItsOwn(task) || !isCurrent(task)) continue;
    if ((task.status?.sinceMs ?? 0) <= now - RECENT_MS) continue;
    failures.set(task.nodeId, (failures.get(task.nodeId) ?? 0) + 1);
    if (stateOf(task) === TaskState.REJECTED) rejected.add(task.nodeId);
  }
  for (const [nodeId, count] of failures) {
    if (count < MAX_FAILURES && !rejected.has(nodeId)) failures.delete(nodeId);
  }
  return failures;
}

/** A task that berth, a user or the shutdown of dockerd stopped has not failed, whatever its exit code. */
function failedOnItsOwn(task: Task): boolean {
  const state = stateOf(task);
  if (state !== TaskState.FAILED && state !== TaskState.REJECTED) return false;
  if (task.status?.stoppedExternally === true) return false;
  return task.desiredState <= DesiredState.RUNNING && task.nodeId !== "";
}
