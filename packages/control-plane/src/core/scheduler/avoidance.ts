import { DesiredState, type Task, TaskState } from "@berth/proto";
import { stateOf } from "../model/task-state.js";

/** A node is avoided after so many failures; fewer may be the service's own fault. Swarm's number. */
const MAX_FAILURES = 5;
/** Failures older than this say nothing about a node as it is now. Swarm's number. */
const RECENT_MS = 5 * 60_000;

/**
 * Nodes on which the service as it is now fared badly of late, the worse the higher the number: any other node is
 * chosen before them, but they are chosen when no other is left. A node that could not even start a task (no such
 * image, a port taken) is one at once, a node where tasks fail only after several. Known from the history of the
 * tasks, so it does not matter who leads.
 */
export function nodesToAvoid(
  tasks: readonly Task[],
  { isCurrent, now }: { readonly isCurrent: (task: Task) => boolean; readonly now: number },
): ReadonlyMap<string, number> {
  const failures = new Map<string, number>();
  const rejected = new Set<string>();
  for (const task of tasks) {
    if (!failedByItself(task) || !isCurrent(task)) continue;
    if ((task.status?.sinceMs ?? 0) <= now - RECENT_MS) continue;
    failures.set(task.nodeId, (failures.get(task.nodeId) ?? 0) + 1);
    if (stateOf(task) === TaskState.REJECTED) rejected.add(task.nodeId);
  }
  for (const [nodeId, count] of failures) {
    if (count < MAX_FAILURES && !rejected.has(nodeId)) failures.delete(nodeId);
  }
  return failures;
}

/** What we, or somebody else, stopped did not fail, however its end looks; nor did what went down with its daemon. */
function failedByItself(task: Task): boolean {
  const state = stateOf(task);
  if (state !== TaskState.FAILED && state !== TaskState.REJECTED) return false;
  if (task.status?.stoppedExternally === true) return false;
  return task.desiredState <= DesiredState.RUNNING && task.nodeId !== "";
}
