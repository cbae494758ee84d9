import { DesiredState } from "@berth/proto";
import type { Plan } from "./model/plan.js";
import type { ClusterSnapshot, ReconcileContext, ServiceSnapshot, ServiceTasks } from "./model/snapshot.js";
import { isJob } from "./orchestrator/job-schedule.js";
import { reconcileJob } from "./orchestrator/reconcile-job.js";
import { reconcileService } from "./orchestrator/reconcile-service.js";
import { partitionTasks } from "./orchestrator/stable-tasks.js";
import { goneTest, removeTask } from "./orchestrator/task-removal.js";

/**
 * Compares a service with its spec and plans the changes to make now. The leader's reconciler writes the plan.
 *
 * Terms: a service has **slots** (numbers 1 to n, or one per node in a global service). A **task** is one attempt to
 * fill a slot. Only one task of a slot should run, except during a start-first replacement. A task **should run**
 * until its desired state changes. It has **ended** when none of its processes can run again. It is **outdated** when it
 * was created from another template than the service has. A task that is to stop occupies its slot and its node
 * until its agent reports its end.
 *
 * Guarantees: the same input gives the same plan, whatever the order of tasks and nodes. A plan holds each task once.
 * The plan is empty when nothing is left to do. Reconcile again when the plan is written, when a task, the service or a
 * node changes, and at `requeueAtMs`.
 */
export function reconcile(
  snapshot: ServiceSnapshot,
  cluster: ClusterSnapshot,
  context: ReconcileContext,
): Plan {
  if (snapshot.service.removing) return planRemoval(snapshot, cluster);
  if (isJob(snapshot.spec)) return reconcileJob(snapshot, cluster, context);
  const { tasksToReconcile: tasks, stable } = partitionTasks(snapshot, cluster);
  return reconcileService({ ...withoutTasks(snapshot), tasks }, stable, cluster, context);
}

/** Returns the parts of a snapshot except its tasks, which a large service lists only on first use. */
function withoutTasks({
  service,
  spec,
  revisions,
  owners,
  companions,
}: ServiceSnapshot): Omit<ServiceTasks, "tasks"> {
  return {
    service,
    spec,
    revisions,
    ...(owners === undefined ? {} : { owners }),
    ...(companions === undefined ? {} : { companions }),
  };
}

function planRemoval(snapshot: ServiceSnapshot, { nodes }: ClusterSnapshot): Plan {
  const { service, tasks } = snapshot;
  if (tasks.length === 0) {
    return { actions: [{ kind: "remove-service", serviceId: service.id }], problems: [] };
  }
  const removal = {
    desired: DesiredState.REMOVE,
    reason: "its service is removed",
    isGone: goneTest(snapshot, nodes),
  } as const;
  return { actions: tasks.flatMap((task) => removeTask(task, removal)), problems: [] };
}
