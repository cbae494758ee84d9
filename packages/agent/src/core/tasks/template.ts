import type { AssignedTask } from "@berth/proto";
import type { NodeFacts } from "./node-facts.js";
import { containerName, slotName } from "./task-name.js";

const PLACEHOLDER = /\{\{\s*(\.[A-Za-z.]+)\s*\}\}/g;

/** Fills in `{{.Node.Hostname}}` and its like. Unknown placeholders stay as they are: they may belong to the program. */
export function fillTemplate(text: string, task: AssignedTask, node: NodeFacts): string {
  if (!text.includes("{{")) return text;
  const values = placeholders(task, node);
  return text.replace(PLACEHOLDER, (whole, name: string) => values.get(name) ?? whole);
}

function placeholders(task: AssignedTask, node: NodeFacts): ReadonlyMap<string, string> {
  return new Map([
    [".Node.ID", node.nodeId],
    [".Node.Hostname", node.hostname],
    [".Service.ID", task.serviceId],
    [".Service.Name", task.serviceName],
    [".Task.ID", task.id],
    [".Task.Name", containerName(task, node.nodeId)],
    [".Task.Slot", slotName(task, node.nodeId)],
  ]);
}
