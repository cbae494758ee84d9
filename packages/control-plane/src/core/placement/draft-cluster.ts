import type { ClusterView, NodeView } from "../model.js";
import { LoadOrders } from "./load-orders.js";
import type { Demand } from "./occupancy.js";

/** The nodes of a cluster, on which tasks can be tried out. The cluster itself stays as it is. */
export class DraftCluster implements ClusterView {
  readonly nodes: Map<string, NodeView>;
  readonly orders: LoadOrders;

  constructor(cluster: ClusterView) {
    this.nodes = new Map(cluster.nodes);
    this.orders = new LoadOrders(this.nodes);
  }

  add(nodeId: string, demand: Demand): void {
    this.#change(nodeId, demand, 1);
  }

  remove(nodeId: string, demand: Demand): void {
    this.#change(nodeId, demand, -1);
  }

  #change(nodeId: string, demand: Demand, sign: 1 | -1): void {
    const view = this.nodes.get(nodeId);
    if (view === undefined) return;
    const after = changed(view, demand, sign);
    this.nodes.set(nodeId, after);
    this.orders.put(after);
  }
}

function changed(view: NodeView, demand: Demand, sign: 1 | -1): NodeView {
  const { reserved } = view;
  const generic = new Map(reserved.generic);
  for (const [kind, count] of demand.generic) generic.set(kind, (generic.get(kind) ?? 0) + sign * count);
  const hostPorts = new Set(view.hostPorts);
  for (const key of demand.hostPorts) {
    if (sign > 0) hostPorts.add(key);
    else hostPorts.delete(key);
  }
  return {
    node: view.node,
    reserved: {
      nanoCpus: reserved.nanoCpus + sign * demand.nanoCpus,
      memoryBytes: reserved.memoryBytes + sign * demand.memoryBytes,
      pids: reserved.pids + sign * demand.pids,
      generic,
    },
    taskCount: view.taskCount + sign,
    hostPorts,
  };
}
