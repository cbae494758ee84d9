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
import { convergence } from "../core/orchestrator/convergence.js";
import type { ClusterState } from "../state/cluster-state.js";
import { serviceSnapshot } from "../state/service-snapshot.js";

/** A person reads no more of them, and they are told with every change. */
const MAX_REASONS = 10;

export function serviceSummary(state: ClusterState, service: Service): ServiceSummary {
  const view = serviceSnapshot(state, service.id);
  if (view === undefined) {
    return { service, desired: 0, running: 0, converged: false, reasons: [], completed: 0 };
  }
  const { reasons, ...counts } = convergence(view, state.nodes);
  return { service, ...counts, reasons: reasons.slice(0, MAX_REASONS), completed: completedOf(view) };
}

function completedOf({ service, tasks }: ServiceSnapshot): number {
  const { job } = service;
  if (job === undefined) return 0;
  const isDone = (task: Task): boolean =>
    task.jobIteration === job.iteration && stateOf(task) === TaskState.COMPLETE;
  return tasks.filter(isDone).length;
}

/** The versions whose specs are kept, newest first. */
export function serviceRevisions(state: ClusterState, serviceId: string): readonly ServiceRevision[] {
  return [...state.services.versionsOf(serviceId)]
    .map(([version, spec]) => ({ version, image: spec.task?.container?.image ?? "" }))
    .sort((a, b) => b.version - a.version);
}

export function nodeSummary(state: ClusterState, node: Node): NodeSummary {
  let tasks = 0;
  for (const task of state.tasks.ofNode(node.id).values()) if (shouldRun(task) && !isEnded(task)) tasks += 1;
  const { nanoCpus = 0, memoryBytes = 0 } = state.nodes.nodes.get(node.id)?.reserved ?? {};
  return { node, tasks, reserved: { nanoCpus, memoryBytes, pids: 0, generic: {} } };
}
