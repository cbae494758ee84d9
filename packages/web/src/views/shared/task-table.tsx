import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { type Task, taskName } from "../../core/model/task.js";
import { routePath } from "../../core/route/route.js";
import { formatAgo } from "../../format/format.js";
import { DataTable } from "./data-table.js";
import { TaskStatus } from "./status.js";

export interface TaskListProps {
  readonly caption: string;
  readonly tasks: readonly Task[];
  readonly empty: string;
}

/** A table of tasks with their states and reasons. */
export function TaskList({ caption, tasks, empty }: TaskListProps): JSX.Element {
  const isCurrent = cluster.isCurrent.value;
  const { nodes } = cluster.store;
  return (
    <DataTable
      caption={caption}
      rows={tasks.toSorted(
        (a, b) =>
          a.serviceName.localeCompare(b.serviceName) || a.slot - b.slot || b.createdAtMs - a.createdAtMs,
      )}
      keyOf={({ id }) => id}
      empty={empty}
      columns={[
        {
          title: "Task",
          cell: (task) => <a href={routePath({ view: "task", id: task.id })}>{taskName(task)}</a>,
        },
        {
          title: "State",
          cell: (task) => <TaskStatus task={task} node={nodes.get(task.nodeId)} isCurrent={isCurrent} />,
        },
        { title: "Node", cell: ({ nodeId }) => nodes.get(nodeId)?.hostname ?? (nodeId || "none") },
        { title: "Version", cell: ({ specVersion }) => specVersion, isNumber: true },
        {
          title: "Since",
          cell: ({ sinceMs, createdAtMs }) => formatAgo(sinceMs || createdAtMs, cluster.now()),
        },
        { title: "Reason", cell: ({ message }) => message },
      ]}
    />
  );
}
