import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { type Task, taskName } from "../../core/model/task.js";
import type { Usage } from "../../core/model/usage.js";
import { routePath } from "../../core/route/route.js";
import { formatAgo, formatBytes } from "../../format/format.js";
import { type Column, DataTable } from "./data-table.js";
import { TaskStatus } from "./status.js";

export interface TaskListProps {
  readonly caption: string;
  readonly tasks: readonly Task[];
  readonly empty: string;
  /** What the tasks use now, by their IDs. */
  readonly usages?: ReadonlyMap<string, Usage>;
}

/** A table of tasks with their states and reasons. */
export function TaskList({ caption, tasks, empty, usages }: TaskListProps): JSX.Element {
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
        ...(usages === undefined ? [] : usageColumns(usages)),
        {
          title: "Since",
          cell: ({ sinceMs, createdAtMs }) => formatAgo(sinceMs || createdAtMs, cluster.now()),
        },
        { title: "Reason", cell: ({ message }) => message },
      ]}
    />
  );
}

function usageColumns(usages: ReadonlyMap<string, Usage>): readonly Column<Task>[] {
  return [
    {
      title: "CPU",
      cell: ({ id }) => {
        const usage = usages.get(id);
        return usage && `${usage.cpuPercent.toFixed(1)} %`;
      },
      isNumber: true,
    },
    {
      title: "Memory",
      cell: ({ id }) => {
        const usage = usages.get(id);
        return usage && formatBytes(usage.memoryBytes);
      },
      isNumber: true,
    },
  ];
}
