import type { Task } from "@berth/proto";
import { taskAfter } from "./apply-action.js";
import { forgotten, lostTasks } from "./departures.js";
import type { NodeView } from "./model.js";
import type { Action } from "./plan.js";

/** What is left of a service's tasks, and the actions that make it so. */
export interface Stock {
  readonly tasks: readonly Task[];
  readonly actions: readonly Action[];
}

/** Marks what died with its node, and forgets what no agent will ever report as removed. */
export function takeStock(tasks: readonly Task[], nodes: ReadonlyMap<string, NodeView>, now: number): Stock {
  const forget = forgotten(tasks, nodes);
  const remembered = without(tasks, forget);
  const lost = lostTasks(remembered, nodes);
  return { tasks: withLosses(remembered, lost, now), actions: [...forget, ...lost] };
}

function without(tasks: readonly Task[], deletions: readonly Action[]): readonly Task[] {
  if (deletions.length === 0) return tasks;
  const gone = new Set(deletions.map(taskIdOf));
  return tasks.filter((task) => !gone.has(task.id));
}

function withLosses(tasks: readonly Task[], lost: readonly Action[], now: number): readonly Task[] {
  if (lost.length === 0) return tasks;
  const after = new Map(lost.map((action) => [taskIdOf(action), taskAfter(action, now)]));
  return tasks.map((task) => after.get(task.id) ?? task);
}

const taskIdOf = (action: Action): string => ("task" in action ? action.task.id : "");
