import type { JSX } from "preact";
import { type Node, nodeStatus, nodeStatusText } from "../../core/model/node.js";
import type { Task } from "../../core/model/task.js";
import { taskDisplay, taskDisplaySymbol, taskDisplayText } from "../../core/model/task-display.js";

/** The state of a task: a symbol and a text. */
export function TaskStatus({
  task,
  node,
  isCurrent,
}: {
  readonly task: Task;
  readonly node: Node | undefined;
  readonly isCurrent: boolean;
}): JSX.Element {
  const display = taskDisplay(task, node, isCurrent);
  return (
    <span class="status" data-state={display}>
      <span class="symbol" aria-hidden="true">
        {taskDisplaySymbol(display)}
      </span>{" "}
      {taskDisplayText(display)}
    </span>
  );
}

export function NodeStatusText({
  node,
  isCurrent,
}: {
  readonly node: Node;
  readonly isCurrent: boolean;
}): JSX.Element {
  const status = nodeStatus(node, isCurrent);
  return (
    <span class="status" data-status={status}>
      {nodeStatusText(status)}
    </span>
  );
}
