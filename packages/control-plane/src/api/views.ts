import {
  type Node,
  type NodeSummary,
  type Service,
  type ServiceRevision,
  type ServiceSummary,
  type Task,
  TaskState,
} from "@berth/proto";
import { convergence } from "../core/converge.js";
import type { ServiceView } from "../core/model.js";
import { isEnded, isWanted, stateOf } from "../core/task-state.js";
import type { ClusterState } from "../state/cluster-state.js";

/** A person reads no more of them, and they are told with every change. */
const MAX_REASONS = 10;

/** A service as the core looks at it; undefined for one that is gone. */
export function serviceView(state: ClusterState, serviceId: string): ServiceView | undefined {
  const service = state.services.get(serviceId);
  const spec = service && (state.services.specOf(serviceId, service.version) ?? service.spec);
  if (service === undefined || spec === undefined) return undefined;
  return { service, spec, tasks: [...state.tasks.ofService(serviceId).values()] };
}

export function serviceSummary(state: ClusterState, service: Service): ServiceSummary {
  const view = serviceView(state, service.id);
  if (view === undefined) {
    return { service, desired: 0, running: 0, converged: false, reasons: [], completed: 0 };
  }
  const { reasons, ...counts } = convergence(view, state.nodes);
  return { service, ...counts, reasons: reasons.slice(0, MAX_REASONS), completed: completedOf(view) };
}

function completedOf({ service, tasks }: ServiceView): number {
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
  for (const task of state.tasks.ofNode(node.id).values()) if (isWanted(task) && !isEnded(task)) tasks += 1;
  const { nanoCpus = 0, memoryBytes = 0 } = state.nodes.nodes.get(node.id)?.reserved ?? {};
  return { node, tasks, reserved: { nanoCpus, memoryBytes, pids: 0, generic: {} } };
}
