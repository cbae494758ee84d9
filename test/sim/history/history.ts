/** The server that a fault affects, by its index. */
export interface ServerTarget {
  /** "leader" selects the server that leads when the fault begins. */
  readonly server: number | "leader";
}

export interface HostTarget {
  readonly host: number;
}

export const LEADER = "leader";

/** A fault that lasts. It ends when all faults stop, at the latest. */
export interface Duration {
  readonly forMs: number;
}

export type Fault =
  | ({ readonly kind: "crash-server" | "stop-server" | "pause-server" } & ServerTarget & Duration)
  | ({ readonly kind: "slow-server"; readonly turnMs: number } & ServerTarget & Duration)
  | ({ readonly kind: "crash-agent" | "pause-agent" | "stop-agent" } & HostTarget & Duration)
  | ({ readonly kind: "slow-agent"; readonly turnMs: number } & HostTarget & Duration)
  | ({ readonly kind: "power-cut" | "cable" } & HostTarget & Duration)
  /** The host loses power and comes back with an empty disk: a new node with the same name and address. */
  | ({ readonly kind: "reinstalled" } & HostTarget & Duration)
  /** Packets between two hosts are dropped, in one direction or both. LEADER stands for the leader's host. */
  | ({
      readonly kind: "partition";
      readonly from: string;
      readonly to: string;
      readonly isBothWays: boolean;
    } & Duration)
  | ({ readonly kind: "clock-jump"; readonly byMs: number } & HostTarget)
  | ({ readonly kind: "server-clock-jump"; readonly byMs: number } & ServerTarget)
  | ({ readonly kind: "slow-network"; readonly delayMs: number } & Duration)
  | ({ readonly kind: "etcd-pause" } & Duration)
  | ({ readonly kind: "etcd-flaky"; readonly probability: number } & Duration)
  | { readonly kind: "etcd-compact" | "etcd-watches-break" }
  | ({ readonly kind: "docker-restart" | "docker-hang" } & HostTarget & Duration)
  | ({ readonly kind: "docker-flaky"; readonly probability: number } & HostTarget & Duration)
  | ({ readonly kind: "docker-slow"; readonly factor: number } & HostTarget & Duration)
  /** A container exits, or is removed outside berth. */
  | ({ readonly kind: "container-crash"; readonly exitCode: number } & HostTarget)
  | ({ readonly kind: "container-removed" } & HostTarget)
  /** All connections of a host are reset. */
  | ({ readonly kind: "reset-connections" } & HostTarget);

/** An overlay network, as a user defines it. */
export interface NetworkDefinition {
  /** Full name. */
  readonly name: string;
  /** The stack that the network belongs to; empty without one. */
  readonly stack: string;
  /** Empty if berth allocates one. */
  readonly subnet: string;
  readonly isInternal: boolean;
}

/** A network that a service is connected to. */
export interface Attachment {
  readonly network: NetworkDefinition;
  /** Whether tasks run without the network on hosts that do not support it. */
  readonly isOptional: boolean;
  /** A static address for the only task; empty without one. */
  readonly address: string;
}

/** A service, as a user defines it. */
export interface ServiceDefinition {
  readonly name: string;
  readonly image: string;
  /** Undefined for a global service. */
  readonly replicas: number | undefined;
  readonly order: "default" | "stop-first" | "start-first";
  readonly parallelism: number;
  readonly failureAction: "pause" | "continue" | "rollback";
  readonly hasHealthcheck: boolean;
  /** Port published on all hosts. 0 if there is none. */
  readonly ingressPort: number;
  /** Port published on the hosts that run a task. 0 if there is none. */
  readonly hostPort: number;
  readonly memoryMib: number;
  readonly stopGraceMs: number;
  readonly isAtMostOne: boolean;
  /** Undefined for a service. A job completes `replicas` tasks, or one on each node when `replicas` is undefined. */
  readonly job: JobDefinition | undefined;
  /** Conditions for the first task to start. */
  readonly dependsOn: readonly DependencyDefinition[];
  /** Whether its tasks mount a local volume. */
  readonly hasVolume: boolean;
  /** Undefined if the number of replicas is fixed. */
  readonly autoscale: AutoscaleDefinition | undefined;
  readonly networks: readonly Attachment[];
  /** Whether its name resolves to the tasks' addresses instead of a virtual IP. */
  readonly usesDnsRoundRobin: boolean;
  /** A service that is deployed with this one, and whose tasks run beside its tasks. */
  readonly companion: CompanionDefinition | undefined;
}

export interface CompanionDefinition {
  readonly image: string;
  /** What its containers share with those of the owner. */
  readonly shares: "network" | "mounts" | "node";
}

export interface AutoscaleDefinition {
  readonly min: number;
  readonly max: number;
  /** Desired number of open connections per replica. */
  readonly target: number;
}

export interface JobDefinition {
  /** 0 for no limit. */
  readonly maxConcurrent: number;
  /** Undefined for a job that runs once after each change. */
  readonly cron: CronDefinition | undefined;
}

export interface CronDefinition {
  readonly everyS: number;
  readonly concurrency: "allow" | "forbid" | "replace";
}

export interface DependencyDefinition {
  readonly service: string;
  readonly condition: "started" | "healthy" | "completed";
}

export type Action =
  | { readonly kind: "deploy"; readonly definition: ServiceDefinition }
  | { readonly kind: "scale"; readonly service: string; readonly replicas: number }
  | { readonly kind: "remove"; readonly service: string }
  | { readonly kind: "rollback"; readonly service: string }
  | { readonly kind: "rebalance" }
  /** Clients keep this many connections to a service open from now on. */
  | { readonly kind: "load"; readonly service: string; readonly connections: number }
  /** Creates a network that belongs to no stack. */
  | { readonly kind: "create-network"; readonly network: NetworkDefinition }
  | { readonly kind: "remove-network"; readonly network: string }
  /** Removes all services and networks of a stack. */
  | { readonly kind: "remove-stack"; readonly stack: string }
  /** Removes the node that the host was before its last reinstallations: `install` counts from 0. */
  | ({ readonly kind: "remove-node"; readonly install: number; readonly force: boolean } & HostTarget)
  | ({ readonly kind: "availability"; readonly availability: "active" | "pause" | "drain" } & HostTarget);

export type HistoryEvent = { readonly atMs: number } & (
  | { readonly fault: Fault }
  | { readonly action: Action }
);

/** Everything that happens in a simulation, decided in advance. It is data, so that shrinking can leave parts out. */
export interface History {
  readonly seed: number;
  readonly servers: number;
  readonly hosts: number;
  /** Whether servers run on the hosts of agents, so that both fail together. */
  readonly isColocated: boolean;
  /** Delay of the automatic rebalance after a host returns. 0 if it is off. */
  readonly autoRebalanceMs: number;
  /** Indexes of the hosts that do not support overlay networks. */
  readonly hostsWithoutOverlay: readonly number[];
  /** Prefix length of the pool for networks without a given subnet. Each network takes a /18. */
  readonly poolPrefix: number;
  readonly events: readonly HistoryEvent[];
  /** When all faults stop. */
  readonly healAtMs: number;
}

/** `    3.507 s  action remove service=batch` */
export function describeEvent(event: HistoryEvent): string {
  const what = "fault" in event ? event.fault : event.action;
  const { kind, ...rest } = what;
  const details = Object.entries("definition" in rest ? { ...rest.definition } : rest).map(
    ([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`,
  );
  const at = `${(event.atMs / 1_000).toFixed(3)} s`;
  return `${at.padStart(9)}  ${"fault" in event ? "fault " : "action"} ${kind} ${details.join(" ")}`;
}

/** Returns the name of the host that a server runs on. */
export function serverHost(history: Pick<History, "isColocated">, server: number): string {
  return history.isColocated ? hostName(server) : `s${server + 1}`;
}

export function hostName(host: number): string {
  return `n${host + 1}`;
}

const NODE_ID_LENGTH = 25;

/** Returns the node ID of a host after `install` reinstallations. */
export function nodeIdOf(host: string, install: number): string {
  return `${host}${install === 0 ? "" : `x${install}`}`.padEnd(NODE_ID_LENGTH, "0");
}
