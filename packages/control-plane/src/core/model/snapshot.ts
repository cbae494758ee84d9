import type { Node, Service, ServiceSpec, Subnet, Task } from "@berth/proto";
import type { TaskIndex } from "./task-index.js";

/** A service and the specs of its versions, without its tasks. */
export interface ServiceDefinition {
  readonly service: Service;
  /** The spec of `service.version`. */
  readonly spec: ServiceSpec;
  /** Stored specs, by version. A rollback restores one of them. */
  readonly revisions: ReadonlyMap<number, ServiceSpec>;
}

/** A service with some or all of its tasks, in any order. */
export interface ServiceTasks extends ServiceDefinition {
  readonly tasks: readonly Task[];
  /** The services beside whose tasks its tasks run. Undefined for a service without owners. */
  readonly owners?: readonly OwnerService[];
  /** The current specs of its companions: the services whose tasks run beside its tasks. Undefined without companions. */
  readonly companions?: readonly ServiceSpec[];
}

/** A service beside whose tasks the tasks of another service run. */
export interface OwnerService {
  /** Full name. */
  readonly name: string;
  /** The service with all of its tasks. Undefined if it does not exist or is being removed. */
  readonly snapshot: ServiceTasks | undefined;
}

/** Everything that a decision about one service reads. `tasks` holds every task record, including ended tasks. */
export interface ServiceSnapshot extends ServiceTasks {
  /** The same tasks, indexed. */
  readonly index: TaskIndex;
}

/** Resources that tasks reserve on a node, or that one task requests. */
export interface Reservation {
  /** 1e9 is one processor. */
  readonly nanoCpus: number;
  readonly memoryBytes: number;
  readonly pids: number;
  /** Countable resources, by kind. */
  readonly generic: ReadonlyMap<string, number>;
  /** Number of addresses in networks that span hosts, by network name. */
  readonly networks: ReadonlyMap<string, number>;
}

/** A node and what the tasks of all services occupy on it (see scheduler/resource-request.ts). */
export interface NodeSnapshot {
  readonly node: Node;
  readonly reserved: Reservation;
  /** Tasks that occupy the node. */
  readonly taskCount: number;
  /** Keys of the host-mode ports in use, as `hostPortKey` builds them. */
  readonly hostPorts: ReadonlySet<string>;
}

/** The load of a node by the tasks of all services. Placement compares it between nodes that are equal otherwise. */
export interface NodeLoad {
  readonly id: string;
  /** Orders most IDs without comparing strings (see `computeIdRank`). */
  readonly idRank: number;
  /** The larger of the reserved fractions of the node's CPUs and memory. */
  readonly reservedShare: number;
  /** Number of tasks of all services that occupy the node. */
  readonly taskCount: number;
}

/** A node in an order by load. */
export interface OrderedNode extends NodeLoad {
  readonly snapshot: NodeSnapshot;
}

/** All nodes, grouped by their values of the spread attributes and ordered by load within each group. */
export interface NodeGroups {
  readonly groups: Iterable<OrderedNodeGroup>;
  /** Number of nodes that accept tasks. */
  readonly acceptingCount: number;
  /** Returns a node's values of the spread attributes, first attribute first. */
  pathOf(nodeId: string): readonly string[];
}

/** The nodes with the same values of the spread attributes. */
export interface OrderedNodeGroup {
  /** The values, first attribute first. */
  readonly path: readonly string[];
  /** The nodes of the group that accept tasks, the least loaded first. */
  readonly loadOrder: { inOrder(): readonly OrderedNode[] };
}

/** Everything that a decision reads about the nodes. */
export interface ClusterSnapshot {
  /** Nodes by ID, in any order. */
  readonly nodes: ReadonlyMap<string, NodeSnapshot>;
  /** The same nodes, grouped by a list of spread attributes on demand. */
  readonly spreadIndexes: { groupedBy(attributes: readonly string[]): NodeGroups };
  /** IDs of the nodes that accept no tasks, and of removed nodes to which tasks still refer. */
  readonly unschedulableNodeIds: Iterable<string>;
  readonly networkRanges: NetworkRanges;
}

/** The ranges of networks that nodes hold. A network has a limited number of ranges. */
export interface NetworkRanges {
  /** Returns whether the node holds a range of the named network, or can get a free one. True for an unknown network. */
  hasRangeFor(nodeId: string, network: string): boolean;
  /** Returns the subnet of the named network, or undefined if the network does not exist. */
  subnetOf(network: string): Subnet | undefined;
}

/** The inputs of a decision besides the records: the time, new IDs, and the leader's state. */
export interface ReconcileContext {
  /** The leader's clock, in ms since the epoch. */
  readonly nowMs: number;
  /** Returns a new task ID on each call. */
  readonly newId: () => string;
  /** Time when this leader took over, in ms since the epoch. Rollout deadlines do not count the time before. */
  readonly leaderSinceMs: number;
  /** Reason why no task of the service may start yet, as shown to users. Empty if tasks may start. */
  readonly holdReason: string;
}
