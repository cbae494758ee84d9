import type { Node } from "../model/node.js";
import { type Task, taskName } from "../model/task.js";
import { isOnMap, type TaskDisplay, taskDisplay } from "../model/task-display.js";

/** The cluster as the map shows it: now, or at a time of the replay. */
export interface ClusterView {
  readonly nodes: ReadonlyMap<string, Node>;
  readonly tasks: ReadonlyMap<string, Task>;
  tasksOnNode(nodeId: string): ReadonlySet<string>;
}

/** The content of one cell of the map. */
export interface MapCell {
  readonly taskId: string;
  /** Cells of a node are sorted by it. */
  readonly sortKey: string;
  readonly serviceName: string;
  readonly name: string;
  readonly display: TaskDisplay;
  /** Why the task is in this state. */
  readonly message: string;
}

/** Returns the cell of a task. Undefined when the map does not show the task. */
export function mapCell(view: ClusterView, taskId: string, isCurrent: boolean): MapCell | undefined {
  const task = view.tasks.get(taskId);
  if (task === undefined || !isOnMap(task)) return undefined;
  return {
    taskId,
    sortKey: `${task.serviceName}\u0000${String(task.slot).padStart(8, "0")}\u0000${taskId}`,
    serviceName: task.serviceName,
    name: taskName(task),
    display: taskDisplay(task, view.nodes.get(task.nodeId), isCurrent),
    message: task.message,
  };
}

/** Returns whether a cell matches the text of the filter. An empty text matches all cells. */
export function matchesFilter({ name }: Pick<MapCell, "name">, filter: string): boolean {
  return filter === "" || name.includes(filter);
}
