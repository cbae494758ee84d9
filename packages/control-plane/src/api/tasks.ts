import type { ListTasksRequest, ListTasksResponse, Task } from "@berth/proto";
import { byAge } from "../core/model/task-state.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { findNode, findService } from "./lookup.js";

/** Lists the tasks that match the request, by service and slot. The newest task of a slot comes first. */
export function listTasks(request: ListTasksRequest, { state }: ApiContext): ListTasksResponse {
  const serviceId = request.service === "" ? "" : findService(state, request.service).id;
  const nodeId = request.node === "" ? "" : findNode(state, request.node).id;
  const tasks: Task[] = [];
  for (const task of findCandidates(state, { serviceId, nodeId, stack: request.stack })) {
    const matches =
      (serviceId === "" || task.serviceId === serviceId) &&
      (nodeId === "" || task.nodeId === nodeId) &&
      (request.stack === "" || task.stack === request.stack);
    if (matches) tasks.push(task);
  }
  return { tasks: tasks.sort(compareBySlot) };
}

interface Filter {
  readonly serviceId: string;
  readonly nodeId: string;
  readonly stack: string;
}

/** Returns the smallest indexed collection that contains all matching tasks. */
function findCandidates(state: ClusterState, { serviceId, nodeId, stack }: Filter): Iterable<Task> {
  if (serviceId !== "") return state.tasks.ofService(serviceId).values();
  if (nodeId !== "") return state.tasks.ofNode(nodeId).values();
  if (stack === "") return state.tasks.values();
  const services = [...state.services.ofStack(stack).keys()];
  return services.flatMap((id) => [...state.tasks.ofService(id).values()]);
}

function compareBySlot(a: Task, b: Task): number {
  if (a.serviceName !== b.serviceName) return a.serviceName < b.serviceName ? -1 : 1;
  if (a.slot !== b.slot) return a.slot - b.slot;
  if (a.slot === 0 && a.nodeId !== b.nodeId) return a.nodeId < b.nodeId ? -1 : 1;
  return byAge(a, b);
}
