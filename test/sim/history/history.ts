/** Who a fault is about: servers and hosts by their number, from 0. */
export interface ServerTarget {
  /** "leader": whoever leads when it happens. */
  readonly server: number | "leader";
}

export interface HostTarget {
  readonly host: number;
}

export const LEADER = "leader";

/** How long it lasts. Whatever still lasts at the end of the faults ends then. */
export interface Duration {
  readonly forMs: number;
}

export type Fault =
  | ({ readonly kind: "crash-server" | "stop-server" | "pause-server" } & ServerTarget & Duration)
  | ({ readonly kind: "slow-server"; readonly turnMs: number } & ServerTarget & Duration)
  | ({ readonly kind: "crash-agent" | "pause-agent" | "stop-agent" } & HostTarget & Duration)
  | ({ readonly kind: "slow-agent"; readonly turnMs: number } & HostTarget & Duration)
  | ({ readonly kind: "power-cut" | "cable" } & HostTarget & Duration)
  /** Without power it gets an empty disk: a new node, by the same name at the same address. */
  | ({ readonly kind: "reinstalled" } & HostTarget & Duration)
  /** Packets between two hosts get lost, one way or both. LEADER stands for the host of whoever leads. */
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
  /** A container ends by itself, or somebody removes it by hand. */
  | ({ readonly kind: "container-crash"; readonly exitCode: number } & HostTarget)
  | ({ readonly kind: "container-removed" } & HostTarget)
  /** All connections of a host are reset. */
  | ({ readonly kind: "reset-connections" } & HostTarget);

/** A network over hosts as a user describes it. */
export interface NetworkDefinition {
  /** Full name. */
  readonly name: string;
  /** The stack that it goes with; "": none. */
  readonly stack: string;
  /** "": berth picks one. */
  readonly subnet: string;
  readonly isInternal: boolean;
}

/** A service's place in a network. */
export interface Attachment {
  readonly network: NetworkDefinition;
  /** Tasks do without it on hosts that cannot have it. */
  readonly isOptional: boolean;
  /** Chosen for the only task; "": none. */
  readonly address: string;
}

/** A service as a user describes it. */
export interface ServiceDefinition {
  readonly name: string;
  readonly image: string;
  /** Undefined: global. */
  readonly replicas: number | undefined;
  readonly order: "default" | "stop-first" | "start-first";
  readonly parallelism: number;
  readonly failureAction: "pause" | "continue" | "rollback";
  readonly hasHealthcheck: boolean;
  /** Published for all hosts; 0: none. */
  readonly ingressPort: number;
  /** Published by the host that runs it; 0: none. */
  readonly hostPort: number;
  readonly memoryMib: number;
  readonly stopGraceMs: number;
  readonly isAtMostOne: boolean;
  /** Undefined: its tasks are to go on running. Otherwise `replicas` of them (undefined: one on each node) are to end. */
  readonly job: JobDefinition | undefined;
  /** What has to be so before its first task. */
  readonly dependsOn: readonly DependencyDefinition[];
  /** Its tasks have a volume of the host that they are on. */
  readonly hasVolume: boolean;
  /** Berth moves the number of replicas. */
  readonly autoscale: AutoscaleDefinition | undefined;
  readonly networks: readonly Attachment[];
  /** It has no virtual IP. */
  readonly usesDnsRoundRobin: boolean;
}

export interface AutoscaleDefinition {
  readonly min: number;
  readonly max: number;
  /** Open connections for each replica. */
  readonly target: number;
}

export interface JobDefinition {
  /** 0: all. */
  readonly maxConcurrent: number;
  /** Once for each change when undefined. */
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
  /** From now on clients hold so many connections to a service. */
  | { readonly kind: "load"; readonly service: string; readonly connections: number }
  /** Makes a network that belongs to no stack. */
  | { readonly kind: "create-network"; readonly network: NetworkDefinition }
  | { readonly kind: "remove-network"; readonly network: string }
  /** All services of a stack, and its networks. */
  | { readonly kind: "remove-stack"; readonly stack: string }
  /** Removes the node that the host was before its last reinstallations: `install` counts from 0. */
  | ({ readonly kind: "remove-node"; readonly install: number; readonly force: boolean } & HostTarget)
  | ({ readonly kind: "availability"; readonly availability: "active" | "pause" | "drain" } & HostTarget);

export type HistoryEvent = { readonly atMs: number } & (
  | { readonly fault: Fault }
  | { readonly action: Action }
);

/** All that is decided about a history before it begins. As data, so that parts of it can be left out. */
export interface History {
  readonly seed: number;
  readonly servers: number;
  readonly hosts: number;
  /** Servers are on the hosts of agents, so that both die together. */
  readonly isColocated: boolean;
  /** Servers even the cluster out so long after a host is back; 0: when they are asked to. */
  readonly autoRebalanceMs: number;
  /** Numbers of the hosts that can have no networks over hosts. */
  readonly hostsWithoutOverlay: readonly number[];
  /** Prefix of what networks without a subnet of their own get theirs from: each takes a /18. */
  readonly poolPrefix: number;
  readonly events: readonly HistoryEvent[];
  /** From then on nothing goes wrong any more. */
  readonly healAtMs: number;
}

/** "server 1 crashes for 2.3 s" */
export function describeEvent(event: HistoryEvent): string {
  const what = "fault" in event ? event.fault : event.action;
  const { kind, ...rest } = what;
  const details = Object.entries("definition" in rest ? { ...rest.definition } : rest).map(
    ([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`,
  );
  const at = `${(event.atMs / 1_000).toFixed(3)} s`;
  return `${at.padStart(9)}  ${"fault" in event ? "fault " : "action"} ${kind} ${details.join(" ")}`;
}

/** Where servers run, by name. */
export function serverHost(history: Pick<History, "isColocated">, server: number): string {
  return history.isColocated ? hostName(server) : `s${server + 1}`;
}

export function hostName(host: number): string {
  return `n${host + 1}`;
}

const NODE_ID_LENGTH = 25;

/** The node id of a host after it was reinstalled so many times. */
export function nodeIdOf(host: string, install: number): string {
  return `${host}${install === 0 ? "" : `x${install}`}`.padEnd(NODE_ID_LENGTH, "0");
}
