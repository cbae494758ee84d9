import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import type { Service } from "../../core/model/service.js";
import type { Listener } from "../../core/model/service-details.js";
import { taskName } from "../../core/model/task.js";
import { DataTable } from "../shared/data-table.js";
import { RateChart } from "../shared/rate-chart.js";

/** The tasks behind each published port. */
export function Endpoints({ listeners }: { readonly listeners: readonly Listener[] }): JSX.Element {
  const { nodes, tasks } = cluster.store;
  if (listeners.length === 0) return <p class="empty">The service publishes no ports.</p>;
  return (
    <>
      {listeners.map(({ key, published, endpoints }) => (
        <DataTable
          key={key}
          caption={`Endpoints of port ${published}`}
          rows={endpoints}
          keyOf={({ taskId }) => taskId}
          empty={`Port ${published} has no endpoint, because no task is ready.`}
          columns={[
            {
              title: `Port ${published}`,
              cell: ({ taskId }) => {
                const task = tasks.get(taskId);
                return task === undefined ? taskId : taskName(task);
              },
            },
            { title: "Address", cell: ({ address }) => address },
            { title: "Node", cell: ({ nodeId }) => nodes.get(nodeId)?.hostname ?? nodeId },
            { title: "State", cell: ({ isDraining }) => (isDraining ? "draining" : "active") },
          ]}
        />
      ))}
    </>
  );
}

/** The connections of a service through each host. */
export function ServiceTraffic({ service }: { readonly service: Service }): JSX.Element {
  const { nodes } = cluster.store;
  const { traffic } = cluster;
  if (traffic.isOmitted) return <p class="note">The cluster has too many nodes to collect traffic.</p>;
  const silent = traffic.unresponsiveNodes.map((id) => nodes.get(id)?.hostname ?? id);
  return (
    <>
      <RateChart subject="Connections" rates={traffic.ratesOf(service.id)} />
      <DataTable
        caption={`Connections of ${service.name} by node`}
        rows={traffic.ofService(service.id)}
        keyOf={({ nodeId }) => nodeId}
        empty="No connections."
        columns={[
          { title: "Through node", cell: ({ nodeId }) => nodes.get(nodeId)?.hostname ?? nodeId },
          { title: "Per second", cell: ({ perSecond }) => perSecond.toFixed(1), isNumber: true },
          { title: "Open", cell: ({ active }) => active, isNumber: true },
          { title: "Since opened", cell: ({ connections }) => connections, isNumber: true },
          { title: "Failed", cell: ({ failed }) => failed, isNumber: true },
          { title: "Retried", cell: ({ retried }) => retried, isNumber: true },
        ]}
      />
      {silent.length > 0 && <p class="warning">No counters from {silent.join(", ")}.</p>}
    </>
  );
}
