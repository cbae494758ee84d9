import type { ClusterSnapshot, NetworkParts, NodeSnapshot } from "../model/snapshot.js";
import type { ResourceRequest } from "../scheduler/resource-request.js";
import { SpreadIndexes } from "../scheduler/spread-index.js";

/** The nodes of a cluster, on which tasks can be tried out. The cluster itself stays as it is. */
export class DraftCluster implements ClusterSnapshot {
  readonly nodes: Map<string, NodeSnapshot>;
  readonly orders: SpreadIndexes;
  readonly closed: Iterable<string>;
  readonly parts: NetworkParts;

  constructor(cluster: ClusterSnapshot) {
    this.nodes = new Map(cluster.nodes);
    this.orders = new SpreadIndexes(this.nodes);
    this.closed = cluster.closed;
    this.parts = cluster.parts;
  }

  add(nodeId: string, demand: ResourceRequest): void {
    this.#change(nodeId, demand, 1);
  }

  remove(nodeId: string, demand: ResourceRequest): void {
    this.#change(nodeId, demand, -1);
  }

  #change(nodeId: string, demand: ResourceRequest, sign: 1 | -1): void {
    const view = this.nodes.get(nodeId);
    if (view === undefined) return;
    const after = changed(view, demand, sign);
    this.nodes.set(nodeId, after);
    this.orders.put(after);
  }
}

function changed(view: NodeSnapshot, demand: ResourceRequest, sign: 1 | -1): NodeSnapshot {
  const { reserved } = view;
  const generic = withCounts(reserved.generic, demand.generic, sign);
  const networks = withCounts(reserved.networks, demand.networks, sign);
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
      networks,
    },
    taskCount: view.taskCount + sign,
    hostPorts,
  };
}

function withCounts(
  sum: ReadonlyMap<string, number>,
  counts: ReadonlyMap<string, number>,
  sign: 1 | -1,
): ReadonlyMap<string, number> {
  const total = new Map(sum);
  for (const [kind, count] of counts) total.set(kind, (total.get(kind) ?? 0) + sign * count);
  return total;
}
