import type { DataPath, IngressStatsMessage, IngressStatusMessage } from "@berth/proto";

export type {
  ApplyResult,
  DataPath,
  EndpointStats,
  ListenerError,
  ListenerStats,
  NodeCounts,
  VipStats,
} from "@berth/proto";

/** A task that accepts connections, with the address at which this host reaches it. */
export interface IngressEndpoint {
  /** ID of the task. */
  readonly id: string;
  /** An IP address, never a hostname. */
  readonly address: string;
  readonly port: number;
  /** ID of the node that runs the task. */
  readonly node?: string;
  /** How the kernel reaches the endpoint. When undefined, the user-space proxy balances the whole listener. */
  readonly route?: KernelRoute;
}

/** How the kernel sends connections to an endpoint. */
export type KernelRoute =
  /** To the endpoint's address and port, with this host's address as the source. */
  | { readonly kind: "forward" }
  /** Directly to a container on this host; the source stays the client's address. */
  | {
      readonly kind: "direct";
      readonly address: string;
      readonly port: number;
      /** Subnet of the container's Docker network, such as "172.17.0.0/16"; empty on the host network. */
      readonly subnet: string;
    };

export type Affinity = "none" | "source";
export type BalancingPolicy = "round-robin" | "least-connections";

/** How a listener distributes connections over its endpoints; set by `x-berth` in the Compose file. */
export interface TrafficRules {
  /** Starts each connection to an endpoint with a PROXY protocol header. */
  readonly proxyProtocol: boolean;
  readonly affinity: Affinity;
  readonly balance: BalancingPolicy;
}

/** One published port and its endpoints. */
export interface IngressListener {
  readonly protocol: "tcp" | "udp";
  /** The host address to listen on; empty for all IPv4 and IPv6 addresses. */
  readonly address: string;
  readonly port: number;
  readonly service: string;
  readonly stack?: string;
  /** Round robin without affinity when undefined. */
  readonly traffic?: TrafficRules;
  /** How long a TCP client waits when no endpoint accepts its connection, in ms. Refused at once when undefined. */
  readonly holdMs?: number;
  /** Endpoints that get new connections. */
  readonly endpoints: readonly IngressEndpoint[];
  /** Endpoints that keep their connections but get no new ones. An endpoint in neither list loses its connections. */
  readonly draining: readonly IngressEndpoint[];
}

/** All ports that this host publishes. */
export interface IngressTable {
  /** Increases with every table, across restarts of the agent. 0 before the first table. */
  readonly version: number;
  readonly listeners: readonly IngressListener[];
}

/** Current health of the ingress process. Cheap to read. */
export interface IngressStatus extends Omit<IngressStatusMessage, "path"> {
  readonly path: DataPath;
}

/** All counters of the ingress process. */
export interface IngressStats extends IngressStatus, Omit<IngressStatsMessage, "status"> {}

/** The socket of a listener. */
export interface ListenerAddress {
  readonly protocol: string;
  /** Empty for all IPv4 and IPv6 addresses. */
  readonly address: string;
  readonly port: number;
}

/** Returns a key for maps of listeners, such as `tcp//8080`. */
export function listenerKey(listener: ListenerAddress): string {
  return `${listener.protocol}/${listener.address}/${listener.port}`;
}

/** Identifies an endpoint. A task that moved to another address counts as a new endpoint. */
export function endpointKey(endpoint: IngressEndpoint): string {
  return `${endpoint.id}@${endpoint.address}/${endpoint.port}`;
}

/** Returns the name of a listener for users: `8080/tcp`, or `10.0.0.1:8080/tcp` for a listener on one address. */
export function listenerName(listener: ListenerAddress): string {
  const host = listener.address.includes(":") ? `[${listener.address}]` : listener.address;
  return `${host === "" ? "" : `${host}:`}${listener.port}/${listener.protocol}`;
}
