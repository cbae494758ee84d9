import type { Node, ServiceSpec, Task } from "@berth/proto";
import { type NodeClaims, nodeClaims } from "../core/model/node-claims.js";
import type { ClusterSnapshot, NetworkRanges, NodeSnapshot, Reservation } from "../core/model/snapshot.js";
import { acceptsTasks } from "../core/scheduler/filters.js";
import {
  getResourceRequest,
  occupiesNode,
  type ResourceRequest,
} from "../core/scheduler/resource-request.js";
import { SpreadIndexes } from "../core/scheduler/spread-index.js";
import { GroupedMap } from "./grouped-map.js";

const NO_RESOURCES: ResourceRequest = {
  nanoCpus: 0,
  memoryBytes: 0,
  pids: 0,
  generic: new Map(),
  hostPorts: [],
  networks: new Map(),
};

/**
 * The nodes in the leader's memory, with the resources that their tasks occupy.
 *
 * The scheduler reads the table as the cluster snapshot.
 */
export class NodeTable implements ClusterSnapshot, NodeClaims {
  readonly #records = new Map<string, Node>();
  /** The nodes by address and by WireGuard key. */
  readonly #byClaim = new GroupedMap<Node>();
  readonly #usages = new Map<string, Usage>();
  /** The resources of each task by task ID. Kept until the task is released, since its spec may be deleted earlier. */
  readonly #holdings = new Map<string, Holding>();
  readonly #snapshots = new Map<string, NodeSnapshot>();
  /** The nodes in the order of their load. The order is live, like `nodes`. */
  readonly spreadIndexes = new SpreadIndexes(this.#snapshots);
  readonly #tasksByNetwork = new Map<string, number>();
  readonly #unschedulable = new Set<string>();
  readonly networkRanges: NetworkRanges;

  constructor(ranges: NetworkRanges) {
    this.networkRanges = ranges;
  }

  /** The nodes as the scheduler sees them. The snapshots are live: do not keep them across an await. */
  get nodes(): ReadonlyMap<string, NodeSnapshot> {
    return this.#snapshots;
  }

  /** IDs of the nodes that accept no tasks. */
  get unschedulableNodeIds(): ReadonlySet<string> {
    return this.#unschedulable;
  }

  get size(): number {
    return this.#records.size;
  }

  get(nodeId: string): Node | undefined {
    return this.#records.get(nodeId);
  }

  values(): IterableIterator<Node> {
    return this.#records.values();
  }

  /** Returns the number of tasks on all nodes that are attached to the network with this name. */
  tasksIn(network: string): number {
    return this.#tasksByNetwork.get(network) ?? 0;
  }

  holdersOf(claim: string): ReadonlyMap<string, Node> {
    return this.#byClaim.get(claim);
  }

  put(node: Node): void {
    this.#deleteClaims(node.id);
    this.#records.set(node.id, node);
    for (const claim of nodeClaims(node.description)) this.#byClaim.set(claim, node.id, node);
    const snapshot = new LiveNodeSnapshot(node, this.#getOrCreateUsage(node.id));
    this.#snapshots.set(node.id, snapshot);
    this.spreadIndexes.put(snapshot);
    this.#updateSchedulable(node.id);
  }

  delete(nodeId: string): void {
    this.#deleteClaims(nodeId);
    this.#records.delete(nodeId);
    this.#snapshots.delete(nodeId);
    this.spreadIndexes.delete(nodeId);
    this.#deleteIfUnused(nodeId);
    this.#updateSchedulable(nodeId);
  }

  /** Adds a task's resources to its node and replaces those that the task occupied before. */
  occupy(task: Task, spec: ServiceSpec | undefined): void {
    this.release(task.id);
    if (!occupiesNode(task)) return;
    const request = spec === undefined ? NO_RESOURCES : cachedRequest(spec);
    this.#holdings.set(task.id, { nodeId: task.nodeId, request });
    this.#getOrCreateUsage(task.nodeId).add(request, 1);
    this.spreadIndexes.touch(task.nodeId);
    this.#countNetworks(request, 1);
  }

  /** Removes a task's resources from its node. */
  release(taskId: string): void {
    const holding = this.#holdings.get(taskId);
    if (holding === undefined) return;
    this.#holdings.delete(taskId);
    const usage = this.#getOrCreateUsage(holding.nodeId);
    usage.add(holding.request, -1);
    this.spreadIndexes.touch(holding.nodeId);
    this.#countNetworks(holding.request, -1);
    this.#deleteIfUnused(holding.nodeId);
  }

  #deleteClaims(nodeId: string): void {
    for (const claim of nodeClaims(this.get(nodeId)?.description)) this.#byClaim.delete(claim, nodeId);
  }

  #deleteIfUnused(nodeId: string): void {
    if (this.#records.has(nodeId) || this.#usages.get(nodeId)?.taskCount !== 0) return;
    this.#usages.delete(nodeId);
    this.#unschedulable.delete(nodeId);
  }

  /** Updates whether the node is unschedulable. A node without a record is unschedulable while it has tasks. */
  #updateSchedulable(nodeId: string): void {
    const snapshot = this.#snapshots.get(nodeId);
    if (snapshot === undefined ? this.#usages.has(nodeId) : !acceptsTasks(snapshot)) {
      this.#unschedulable.add(nodeId);
    } else {
      this.#unschedulable.delete(nodeId);
    }
  }

  #countNetworks({ networks }: ResourceRequest, sign: 1 | -1): void {
    for (const name of networks.keys()) {
      const count = this.tasksIn(name) + sign;
      if (count === 0) {
        this.#tasksByNetwork.delete(name);
      } else {
        this.#tasksByNetwork.set(name, count);
      }
    }
  }

  #getOrCreateUsage(nodeId: string): Usage {
    let usage = this.#usages.get(nodeId);
    if (usage === undefined) {
      usage = new Usage();
      this.#usages.set(nodeId, usage);
      this.#updateSchedulable(nodeId);
    }
    return usage;
  }
}

/** The resources that a task occupies on its node. */
interface Holding {
  readonly nodeId: string;
  readonly request: ResourceRequest;
}

/** The resources that the tasks of one node occupy. */
class Usage {
  readonly reserved = {
    nanoCpus: 0,
    memoryBytes: 0,
    pids: 0,
    generic: new Map<string, number>(),
    networks: new Map<string, number>(),
  };
  readonly hostPorts = new Set<string>();
  taskCount = 0;
  readonly #portCounts = new Map<string, number>();

  add(request: ResourceRequest, sign: 1 | -1): void {
    this.taskCount += sign;
    this.reserved.nanoCpus += sign * request.nanoCpus;
    this.reserved.memoryBytes += sign * request.memoryBytes;
    this.reserved.pids += sign * request.pids;
    addCounts(this.reserved.generic, request.generic, sign);
    addCounts(this.reserved.networks, request.networks, sign);
    for (const key of request.hostPorts) this.#addPort(key, sign);
  }

  /** Two tasks can hold a port at the same time: a stopping task and its replacement. */
  #addPort(key: string, sign: 1 | -1): void {
    const count = (this.#portCounts.get(key) ?? 0) + sign;
    if (count > 0) {
      this.#portCounts.set(key, count);
      this.hostPorts.add(key);
    } else {
      this.#portCounts.delete(key);
      this.hostPorts.delete(key);
    }
  }
}

function addCounts(sum: Map<string, number>, counts: ReadonlyMap<string, number>, sign: 1 | -1): void {
  for (const [kind, count] of counts) {
    const total = (sum.get(kind) ?? 0) + sign * count;
    if (total === 0) {
      sum.delete(kind);
    } else {
      sum.set(kind, total);
    }
  }
}

/** The scheduler's view of one node. A class, because a getter on a prototype is several times faster than on an object. */
class LiveNodeSnapshot implements NodeSnapshot {
  readonly node: Node;
  readonly reserved: Reservation;
  readonly hostPorts: ReadonlySet<string>;
  readonly #usage: Usage;

  constructor(node: Node, usage: Usage) {
    this.node = node;
    this.reserved = usage.reserved;
    this.hostPorts = usage.hostPorts;
    this.#usage = usage;
  }

  get taskCount(): number {
    return this.#usage.taskCount;
  }
}

const requestBySpec = new WeakMap<ServiceSpec, ResourceRequest>();

/** Returns the resource request of a spec. Cached, since specs are immutable. */
function cachedRequest(spec: ServiceSpec): ResourceRequest {
  let request = requestBySpec.get(spec);
  if (request === undefined) {
    request = getResourceRequest(spec);
    requestBySpec.set(spec, request);
  }
  return request;
}
