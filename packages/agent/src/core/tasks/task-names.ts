import { type AssignedTask, fillPlaceholders, type TaskPlaceholder } from "@berth/proto";
import type { NodeFacts } from "./task-view.js";

/**
 * Returns the name of a task's container: `<service>.<slot>.<task id>`. It is unique, and all agents compute the same
 * name.
 */
export function containerName(task: AssignedTask, nodeId: string): string {
  return `${task.serviceName}.${slotName(task, nodeId)}.${task.id}`;
}

/** Returns the slot number, or the node ID for a global service, which has one slot per node. */
export function slotName(task: AssignedTask, nodeId: string): string {
  return task.slot === 0 ? nodeId : String(task.slot);
}

/** Expands `{{.Node.Hostname}}` and the like. Unknown placeholders are kept: they may be meant for the program. */
export function fillTemplate(text: string, task: AssignedTask, node: NodeFacts): string {
  if (!text.includes("{{")) return text;
  const values = placeholders(task, node);
  return fillPlaceholders(text, (name) => values[name]);
}

function placeholders(task: AssignedTask, node: NodeFacts): Readonly<Record<TaskPlaceholder, string>> {
  return {
    ".Node.ID": node.nodeId,
    ".Node.Hostname": node.hostname,
    ".Service.ID": task.serviceId,
    ".Service.Name": task.serviceName,
    ".Task.ID": task.id,
    ".Task.Name": containerName(task, node.nodeId),
    ".Task.Slot": slotName(task, node.nodeId),
  };
}
