import type { AssignedTask } from "@berth/proto";

/** The name of a task's container: `<service>.<slot>.<task id>`. Unique, and the same whoever computes it. */
export function containerName(task: AssignedTask, nodeId: string): string {
  return `${task.serviceName}.${slotName(task, nodeId)}.${task.id}`;
}

/** The slot's number; for a task of a global service, whose slot is its node, the node's id. */
export function slotName(task: AssignedTask, nodeId: string): string {
  return task.slot === 0 ? nodeId : String(task.slot);
}
