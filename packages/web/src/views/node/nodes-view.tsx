import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { compareNodes } from "../../core/model/node.js";
import { routePath } from "../../core/route/route.js";
import { formatAgo, formatBytes, formatCpus } from "../../format/format.js";
import { DataTable } from "../shared/data-table.js";
import { NodeStatusText } from "../shared/status.js";

/** A table of all nodes. */
export function NodesView(): JSX.Element {
  void cluster.revision.value;
  const isCurrent = cluster.isCurrent.value;
  const { store } = cluster;
  return (
    <>
      <h1>Nodes</h1>
      <div class="part">
        <DataTable
          caption="Nodes"
          rows={[...store.nodes.values()].sort(compareNodes)}
          keyOf={({ id }) => id}
          empty="No node has joined. Join hosts with berth agent join."
          columns={[
            {
              title: "Node",
              cell: ({ hostname }) => <a href={routePath({ view: "node", name: hostname })}>{hostname}</a>,
            },
            { title: "State", cell: (node) => <NodeStatusText node={node} isCurrent={isCurrent} /> },
            { title: "Availability", cell: ({ availability }) => availability },
            { title: "Tasks", cell: ({ tasks }) => tasks, isNumber: true },
            { title: "CPUs", cell: ({ nanoCpus }) => formatCpus(nanoCpus), isNumber: true },
            { title: "Memory", cell: ({ memoryBytes }) => formatBytes(memoryBytes), isNumber: true },
            { title: "Address", cell: ({ address }) => address },
            { title: "Since", cell: ({ sinceMs }) => formatAgo(sinceMs, cluster.now()) },
            {
              title: "Reason",
              cell: ({ message, problems }) => [message, ...problems].filter(Boolean).join("; "),
            },
          ]}
        />
      </div>
    </>
  );
}
