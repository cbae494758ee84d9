import type { Task } from "@berth/proto";
import type { ServiceSnapshot } from "../model/snapshot.js";
import { isPending, shouldRun } from "../model/task-state.js";
import { startsOnConnection } from "../orchestrator/autoscale.js";
import { replicasOf } from "../orchestrator/desired-slots.js";
import { isWaiting } from "../scheduler/pending-reason.js";

/**
 * Default time for which a connection waits for an endpoint. Covers the loss of a host (2 s), and the start of a task
 * on a host that has to pull its image.
 */
export const DEFAULT_HOLD_MS = 10_000;

/**
 * Returns how long a new connection to a service may wait while no task accepts it, in ms. 0 when the service should
 * have no tasks, or when none of its tasks can be placed: waiting would not help.
 */
export function holdDurationMs({ spec, service, tasks }: ServiceSnapshot): number {
  const holdMs = spec.traffic?.holdMs ?? DEFAULT_HOLD_MS;
  if (holdMs === 0) return 0;
  const desired = tasks.filter(shouldRun);
  // A new task replaces another one only after a delay, or when the other one has stopped.
  const isExpected = desired.length > 0 || isReplicated(spec.mode?.$case);
  const hasReplicas = replicasOf(spec, service.autoscale) > 0 || startsOnConnection(spec);
  const isScaledToZero = isReplicated(spec.mode?.$case) && !hasReplicas;
  const isUnplaceable = desired.length > 0 && desired.every(hasNoNode);
  return isExpected && !isScaledToZero && !isUnplaceable ? holdMs : 0;
}

function isReplicated(mode: string | undefined): boolean {
  return mode === undefined || mode === "replicated";
}

/** Returns whether the scheduler has found no node for a task. */
function hasNoNode(task: Task): boolean {
  return isPending(task) && (task.status?.message ?? "") !== "" && !isWaiting(task);
}
