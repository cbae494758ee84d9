import type { ClusterSnapshot, NetworkRanges, NodeSnapshot } from "../model/snapshot.js";
import type { ResourceRequest } from "./resource-request.js";
import { SpreadIndexes } from "./spread-index.js";

/** A copy of the cluster's nodes, on which the rebalancer tries out task moves. */
export class DraftCluster implements ClusterSnapshot {
  readonly nodes: Map<string, NodeSnapshot>;
  readonly spreadIndexes: SpreadIndexes;
  readonly unschedulableNodeIds: Iterable<string>;
  readonly networkRanges: NetworkRanges;

  constructor(cluster: ClusterSnapshot) {
    this.nodes = new Map(cluster.nodes);
    this.spreadIndexes = new SpreadIndexes(this.nodes);
    this.unschedulableNodeIds = cluster.unschedulableNodeIds;
    this.networkRanges = cluster.networkRanges;
  }

  addTask(nodeId: string, request: ResourceRequest): void {
    this.#adjust(nodeId, request, 1);
  }

  removeTask(nodeId: string, request: ResourceRequest): void {
    this.#adjust(nodeId, request, -1);
  }

  #adjust(nodeId: string, request: ResourceRequest, sign: 1 | -1): void {
    const snapshot = this.nodes.get(nodeId);
    if (snapshot === undefined) return;
    const changed = withTask(snapshot, request, sign);
    this.nodes.set(nodeId, changed);
    this.spreadIndexes.put(changed);
  }
}

/** Returns the node with one more task (1) or one task less (-1). */
function withTask(snapshot: NodeSnapshot, request: ResourceRequest, sign: 1 | -1): NodeSnapshot {
  const { reserved } = snapshot;
  const hostPorts = new Set(snapshot.hostPorts);
  for (const key of request.hostPorts) {
    if (sign > 0) {
      hostPorts.add(key);
    } else {
      hostPorts.delete(key);
    }
  }
  return {
    node: snapshot.node,
    reserved: {
      nanoCpus: reserved.nanoCpus + sign * request.nanoCpus,
      memoryBytes: reserved.memoryBytes + sign * request.memoryBytes,
      pids: reserved.pids + sign * request.pids,
      generic: withCounts(reserved.generic, request.generic, sign),
      networks: withCounts(reserved.networks, request.networks, sign),
    },
    taskCount: snapshot.taskCount + sign,
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
