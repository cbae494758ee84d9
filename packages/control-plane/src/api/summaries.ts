import {
  type Node,
  type NodeSummary,
  type Service,
  type ServiceRevision,
  type ServiceSummary,
  type Task,
  TaskState,
} from "@berth/proto";
import type { ServiceSnapshot } from "../core/model/snapshot.js";
import { isEnded, shouldRun, stateOf } from "../core/model/task-state.js";
import { hostRejections } from "../core/node-health/host-rejections.js";
import { convergence } from "../core/orchestrator/convergence.js";
import type { ClusterState } from "../state/cluster-state.js";
import { serviceSnapshot } from "../state/service-snapshot.js";

/** Maximum number of reasons in a summary, which watchers receive with every change. */
const MAX_REASONS = 10;

/** Returns a service with its task counts, and the reasons why it has not converged. */
export function serviceSummary(state: ClusterState, service: Service, nowMs: number): ServiceSummary {
  const snapshot = serviceSnapshot(state, service.id);
  if (snapshot === undefined) {
    return { service, desired: 0, running: 0, converged: false, reasons: [], completed: 0 };
  }
  const { reasons, ...counts } = convergence(snapshot, state.nodes, nowMs);
  return {
    service,
    ...counts,
    reasons: reasons.slice(0, MAX_REASONS),
    completed: countCompletedTasks(snapshot),
  };
}

/** Returns how many tasks of a job's latest run have completed. */
function countCompletedTasks({ service, tasks }: ServiceSnapshot): number {
  const { job } = service;
  if (job === undefined) return 0;
  const hasCompleted = (task: Task): boolean =>
    task.jobIteration === job.iteration && stateOf(task) === TaskState.COMPLETE;
  return tasks.filter(hasCompleted).length;
}

/** Returns the versions whose specs are kept, newest first. */
export function serviceRevisions(state: ClusterState, serviceId: string): readonly ServiceRevision[] {
  return [...state.services.versions.ofService(serviceId)]
    .map(([version, { task }]) => ({
      version,
      image: task?.container?.image ?? "",
      imageDigest: task?.container?.imageDigest ?? "",
    }))
    .sort((a, b) => b.version - a.version);
}

/** Returns a node with the number of its tasks, its reserved resources, and the problems that the leader has found. */
export function nodeSummary(state: ClusterState, node: Node): NodeSummary {
  const tasksOnNode = state.tasks.ofNode(node.id);
  let activeTasks = 0;
  for (const task of tasksOnNode.values()) {
    if (shouldRun(task) && !isEnded(task)) activeTasks += 1;
  }
  const problems = hostRejections({
    nodeId: node.id,
    tasks: tasksOnNode.values(),
    serviceOf: (serviceId) => state.services.get(serviceId),
    tasksOf: (serviceId) => state.tasks.ofService(serviceId).values(),
  });
  const { nanoCpus = 0, memoryBytes = 0 } = state.nodes.nodes.get(node.id)?.reserved ?? {};
  return {
    node,
    tasks: activeTasks,
    reserved: { nanoCpus, memoryBytes, pids: 0, generic: {} },
    problems: [...problems],
  };
}
