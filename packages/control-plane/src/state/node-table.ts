import type { Node, ServiceSpec, Task } from "@berth/proto";
import type { ClusterSnapshot, NetworkParts, NodeSnapshot, Reservation } from "../core/model/snapshot.js";
import { acceptsTasks } from "../core/scheduler/filters.js";
import { occupiesNode, type ResourceRequest, resourceRequestOf } from "../core/scheduler/resource-request.js";
import { SpreadIndexes } from "../core/scheduler/spread-index.js";

const NOTHING: ResourceRequest = {
  nanoCpus: 0,
  memoryBytes: 0,
  pids: 0,
  generic: new Map(),
  hostPorts: [],
  networks: new Map(),
};

/** All nodes with the resources that their tasks occupy, updated with each task. */
export class NodeTable implements ClusterSnapshot {
  readonly #records = new Map<string, Node>();
  readonly #usages = new Map<string, Usage>();
  /** The resources of each task, kept until it is released: its spec may be deleted before. */
  readonly #holdings = new Map<string, { readonly nodeId: string; readonly demand: ResourceRequest }>();
  readonly #views = new Map<string, NodeSnapshot>();
  /** The nodes in the order of their load. Live, like `nodes`. */
  readonly orders = new SpreadIndexes(this.#views);
  readonly #tasksByNetwork = new Map<string, number>();
  readonly #closed = new Set<string>();
  readonly parts: NetworkParts;

  constructor(parts: NetworkParts) {
    this.parts = parts;
  }

  /** The nodes as placement sees them. The views are live: do not keep them across an await. */
  get nodes(): ReadonlyMap<string, NodeSnapshot> {
    return this.#views;
  }

  get closed(): ReadonlySet<string> {
    return this.#closed;
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

  put(node: Node): void {
    this.#records.set(node.id, node);
    const view = new LiveView(node, this.#usageOf(node.id));
    this.#views.set(node.id, view);
    this.orders.put(view);
    this.#judge(node.id);
  }

  delete(nodeId: string): void {
    this.#records.delete(nodeId);
    this.#views.delete(nodeId);
    this.orders.delete(nodeId);
    this.#forgetUnused(nodeId);
    this.#judge(nodeId);
  }

  /** Adds a task's resources to its node, in place of those that the task occupied before. */
  occupy(task: Task, spec: ServiceSpec | undefined): void {
    this.release(task.id);
    if (!occupiesNode(task)) return;
    const demand = spec === undefined ? NOTHING : knownDemandOf(spec);
    this.#holdings.set(task.id, { nodeId: task.nodeId, demand });
    this.#usageOf(task.nodeId).add(demand, 1);
    this.orders.touch(task.nodeId);
    this.#countNetworks(demand, 1);
  }

  release(taskId: string): void {
    const holding = this.#holdings.get(taskId);
    if (holding === undefined) return;
    this.#holdings.delete(taskId);
    const usage = this.#usageOf(holding.nodeId);
    usage.add(holding.demand, -1);
    this.orders.touch(holding.nodeId);
    this.#countNetworks(holding.demand, -1);
    this.#forgetUnused(holding.nodeId);
  }

  #forgetUnused(nodeId: string): void {
    if (this.#records.has(nodeId) || this.#usages.get(nodeId)?.taskCount !== 0) return;
    this.#usages.delete(nodeId);
    this.#closed.delete(nodeId);
  }

  /** A node without a record counts as closed while there are tasks on it. */
  #judge(nodeId: string): void {
    const view = this.#views.get(nodeId);
    if (view === undefined ? this.#usages.has(nodeId) : !acceptsTasks(view)) this.#closed.add(nodeId);
    else this.#closed.delete(nodeId);
  }

  #countNetworks({ networks }: ResourceRequest, sign: 1 | -1): void {
    for (const name of networks.keys()) {
      const count = this.tasksIn(name) + sign;
      if (count === 0) this.#tasksByNetwork.delete(name);
      else this.#tasksByNetwork.set(name, count);
    }
  }

  #usageOf(nodeId: string): Usage {
    let usage = this.#usages.get(nodeId);
    if (usage === undefined) {
      usage = new Usage();
      this.#usages.set(nodeId, usage);
      this.#judge(nodeId);
    }
    return usage;
  }
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

  add(demand: ResourceRequest, sign: 1 | -1): void {
    this.taskCount += sign;
    this.reserved.nanoCpus += sign * demand.nanoCpus;
    this.reserved.memoryBytes += sign * demand.memoryBytes;
    this.reserved.pids += sign * demand.pids;
    addCounts(this.reserved.generic, demand.generic, sign);
    addCounts(this.reserved.networks, demand.networks, sign);
    for (const key of demand.hostPorts) this.#addPort(key, sign);
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
    if (total === 0) sum.delete(kind);
    else sum.set(kind, total);
  }
}

/** A class, because a getter on its prototype is several times faster than one on each object. */
class LiveView implements NodeSnapshot {
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

const demands = new WeakMap<ServiceSpec, ResourceRequest>();

/** Specs are immutable, so the request of their tasks is computed once. */
function knownDemandOf(spec: ServiceSpec): ResourceRequest {
  let demand = demands.get(spec);
  if (demand === undefined) {
    demand = resourceRequestOf(spec);
    demands.set(spec, demand);
  }
  return demand;
}
