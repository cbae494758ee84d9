import type { Node, Service, ServiceSpec, Subnet, Task } from "@berth/proto";
import type { TaskIndex } from "./task-index.js";

/** A service and the specs of its versions, without its tasks. */
export interface ServiceDefinition {
  readonly service: Service;
  /** The spec of `service.version`. */
  readonly spec: ServiceSpec;
  /** Specs of the versions that are kept, by version. A rollback returns to one of them. */
  readonly revisions: ReadonlyMap<number, ServiceSpec>;
}

/** A service with some or all of its tasks, in any order. */
export interface ServiceTasks extends ServiceDefinition {
  readonly tasks: readonly Task[];
}

/** Everything that a decision about one service reads. `tasks` holds every task record, ended ones included. */
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

/** A node with the load by which it is sorted. */
export interface OrderedNode {
  readonly id: string;
  /** Sorts like the id, and compares faster. */
  readonly idRank: number;
  /** The larger of the reserved shares of CPU and memory. */
  readonly share: number;
  /** Tasks of all services on the node. */
  readonly tasks: number;
  readonly snapshot: NodeSnapshot;
}

/** All nodes, grouped by their values of the spread attributes and ordered by load within each group. */
export interface NodeGroups {
  /** The groups with the nodes in them that accept tasks. `path` holds the values, first attribute first. */
  readonly groups: Iterable<{
    readonly path: readonly string[];
    readonly order: { inOrder(): readonly OrderedNode[] };
  }>;
  /** Number of nodes that accept tasks. */
  readonly acceptingCount: number;
  /** Returns the values of a node. */
  pathOf(nodeId: string): readonly string[];
}

/** Everything that a decision reads about the nodes. */
export interface ClusterSnapshot {
  /** By node id, in any order. */
  readonly nodes: ReadonlyMap<string, NodeSnapshot>;
  /** The same nodes, sorted by load. `by` returns the groups of a list of spread attributes. */
  readonly orders: { by(attributes: readonly string[]): NodeGroups };
  /** Ids of the nodes that accept no tasks, and of removed nodes that tasks still refer to. */
  readonly closed: Iterable<string>;
  readonly ranges: NetworkRanges;
}

/** The ranges of networks that nodes hold. A network has a limited number of ranges. */
export interface NetworkRanges {
  /** Whether the node holds a range of the named network, or one is free for it. */
  hasRangeFor(nodeId: string, network: string): boolean;
  /** Undefined when the network does not exist. */
  subnetOf(network: string): Subnet | undefined;
}

export interface ReconcileContext {
  /** The leader's clock, in ms since the epoch. */
  readonly now: number;
  /** Returns a new task id at each call. */
  readonly newId: () => string;
  /** When this leader took over, in ms since the epoch. Rollout deadlines do not count the time before. */
  readonly leaderSinceMs: number;
  /** Why no task of the service may start yet, as shown to users. Empty when tasks may start. */
  readonly holdReason: string;
}
