import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { isShownCurrent, shownView } from "../../app/shown-cluster.js";
import { compareNodes } from "../../core/model/node.js";
import { type Task, taskName } from "../../core/model/task.js";
import { isOnMap } from "../../core/model/task-display.js";
import { routePath } from "../../core/route/route.js";
import { DataTable } from "../shared/data-table.js";
import { NodeStatusText, TaskStatus } from "../shared/status.js";

/** The same content as the map, as a table. */
export function MapTable({ filter }: { readonly filter: string }): JSX.Element {
  void cluster.revision.value;
  const view = shownView();
  const isCurrent = isShownCurrent();
  const tasks = [...view.tasks.values()]
    .filter((task) => isOnMap(task))
    .filter((task) => filter === "" || taskName(task).includes(filter));
  const byNode = Map.groupBy(tasks, ({ nodeId }) => nodeId);
  const nodes = [...view.nodes.values()].sort(compareNodes);
  const rows: readonly (Task | string)[] = ["", ...nodes.map(({ id }) => id)].flatMap(
    (nodeId): readonly (Task | string)[] => {
      const onNode = byNode.get(nodeId) ?? [];
      return onNode.length === 0 && nodeId !== "" && filter === "" ? [nodeId] : onNode;
    },
  );
  const nodeOf = (row: Task | string) => view.nodes.get(typeof row === "string" ? row : row.nodeId);
  return (
    <div class="part">
      <DataTable
        caption="Tasks by node"
        rows={rows}
        keyOf={(row) => (typeof row === "string" ? row : row.id)}
        empty="No tasks."
        columns={[
          {
            title: "Task",
            cell: (row) =>
              typeof row === "string" ? (
                "no tasks"
              ) : (
                <a href={routePath({ view: "task", id: row.id })}>{taskName(row)}</a>
              ),
          },
          {
            title: "State",
            cell: (row) =>
              typeof row !== "string" && <TaskStatus task={row} node={nodeOf(row)} isCurrent={isCurrent} />,
          },
          { title: "Node", cell: (row) => nodeOf(row)?.hostname ?? "none" },
          {
            title: "Node state",
            cell: (row) => {
              const node = nodeOf(row);
              return node && <NodeStatusText node={node} isCurrent={isCurrent} />;
            },
          },
          { title: "Reason", cell: (row) => (typeof row === "string" ? "" : row.message) },
        ]}
      />
    </div>
  );
}
