import type { Node, Service, ServiceSpec, Subnet, Task } from "@berth/proto";
import type { TaskIndex } from "./orchestrator/slots/task-index.js";
import type { SpreadIndexes } from "./scheduler/spread-index.js";

/** What a decision about one service is made from. All of it is read-only to the core. */
export interface ServiceView {
  readonly service: Service;
  /** The spec of `service.version`. */
  readonly spec: ServiceSpec;
  /** Every record of a task of this service, in any order, ended ones too. */
  readonly tasks: readonly Task[];
  /** The same tasks, indexed. Absent: whoever needs the index makes it. */
  readonly index?: TaskIndex;
  /** Specs of the versions that are kept, by version: where a rollback goes. Absent: none but the current one. */
  readonly revisions?: ReadonlyMap<number, ServiceSpec>;
}

/** What is set aside of a node, or asked of it. */
export interface Reservation {
  /** 1e9 is one processor. */
  readonly nanoCpus: number;
  readonly memoryBytes: number;
  readonly pids: number;
  /** Countable things, by kind. */
  readonly generic: ReadonlyMap<string, number>;
  /** Addresses in networks over hosts, by their names. */
  readonly networks: ReadonlyMap<string, number>;
}

/**
 * A node with what is taken of it by the tasks of all services that occupy it (see occupancy.ts).
 * The caller keeps it up to date task by task.
 */
export interface NodeView {
  readonly node: Node;
  readonly reserved: Reservation;
  /** Tasks that occupy the node. */
  readonly taskCount: number;
  /** Keys of the host-mode ports that are taken, as `hostPortKey` makes them. */
  readonly hostPorts: ReadonlySet<string>;
}

export interface ClusterView {
  /** By node id; the order does not matter. */
  readonly nodes: ReadonlyMap<string, NodeView>;
  /** The nodes in order of load, kept up to date. Absent: whoever needs the order sorts them. */
  readonly orders?: SpreadIndexes;
  /**
   * Ids of the nodes that take no tasks at all, and of those that tasks are on though there is no such node; kept up to
   * date. Absent: whoever asks looks at all.
   */
  readonly closed?: Iterable<string>;
  /** Which hosts can be in which network. Absent: all in all. */
  readonly parts?: NetworkParts;
}

/** The parts of networks that hosts have; each network has only so many. */
export interface NetworkParts {
  /** Whether a node has a part of the network of this name, or there is one left for it. */
  hasPartFor(nodeId: string, network: string): boolean;
  /** Undefined: there is no such network. */
  subnetOf(network: string): Subnet | undefined;
}

export interface ReconcileContext {
  /** Milliseconds since 1970, by the leader's clock. */
  readonly now: number;
  /** Gives a fresh task id at each call. */
  readonly newId: () => string;
  /** Since when this leader decides: what nobody could see before says nothing against a rollout. Absent: for ever. */
  readonly inChargeSinceMs?: number;
  /** What keeps every task of the service from getting a node, for a person. Absent: nothing does. */
  readonly heldBy?: string;
}
