/** One replica that can take connections, by the address at which this host reaches it. */
export interface IngressEndpoint {
  /** The task's id. */
  readonly id: string;
  /** An IP address, never a name. */
  readonly address: string;
  readonly port: number;
  /** The node that it runs on. */
  readonly node?: string;
  /** How the kernel may bring connections there. Absent: not at all, and so not to any endpoint of its listener. */
  readonly route?: KernelRoute;
}

export type KernelRoute =
  /** To its address and port, with this host's address in place of the client's. */
  | { readonly kind: "forward" }
  /** Its container is on this host: to its own address, with the client's. */
  | {
      readonly kind: "direct";
      readonly address: string;
      readonly port: number;
      /** Of its Docker network, "172.17.0.0/16"; "": it is on the host's own network. */
      readonly subnet: string;
    };

/** How connections are given to endpoints; as `x-berth` of a service says. */
export interface TrafficRules {
  readonly proxyProtocol: boolean;
  readonly affinity: "none" | "source";
  readonly balance: "round-robin" | "least-connections";
}

/** One published port and who stands behind it. */
export interface IngressListener {
  readonly protocol: "tcp" | "udp";
  /** The host address to listen on; "" means all, IPv4 and IPv6. */
  readonly address: string;
  readonly port: number;
  readonly service: string;
  /** Absent: of none. */
  readonly stack?: string;
  /** Absent: each connection to the endpoint whose turn it is. */
  readonly traffic?: TrafficRules;
  readonly endpoints: readonly IngressEndpoint[];
  /** They get no new connections; those they have live on. An endpoint in neither list loses its connections. */
  readonly draining: readonly IngressEndpoint[];
}

/** Everything that this host publishes. A table replaces the one before it as a whole. */
export interface IngressTable {
  readonly version: number;
  readonly listeners: readonly IngressListener[];
}

/** A listener that could not be opened, in words for a person. */
export interface ListenerError {
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
  readonly service: string;
  /** The system's name for what went wrong, e.g. `EADDRINUSE`. */
  readonly code: string;
  readonly message: string;
}

export interface ApplyResult {
  /** The version of the table that now serves; higher than the one asked for when a newer apply overtook it. */
  readonly version: number;
  /** Ports that do not answer. They are tried again at the next apply and every few seconds until then. */
  readonly errors: readonly ListenerError[];
}

export interface EndpointStats {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  /** The node that it runs on. */
  readonly node?: string;
  readonly state: "serving" | "ejected" | "draining";
  /** Connections (UDP: flows) that it took since it came into the table. */
  readonly total: number;
  readonly active: number;
  /** Connection attempts that it failed. */
  readonly failed: number;
}

/** What the endpoints of one node did, those included that are gone. */
export interface NodeCounts {
  readonly node: string;
  /** Connections (UDP: flows) that they took. */
  readonly total: number;
  /** Connection attempts that they failed. */
  readonly failed: number;
}

export interface ListenerStats {
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
  readonly service: string;
  readonly stack: string;
  readonly total: number;
  readonly active: number;
  /** Connections that no endpoint took. */
  readonly failed: number;
  /** Attempts that moved on to another endpoint. */
  readonly retried: number;
  /** Times that an endpoint was passed over for a while: it failed, or its node fell silent. */
  readonly ejections: number;
  readonly endpoints: readonly EndpointStats[];
  readonly nodes: readonly NodeCounts[];
}

/** What the kernel has done for the virtual IP of a service in one network. */
export interface VipStats {
  readonly service: string;
  readonly stack: string;
  /** Full name. */
  readonly network: string;
  /** From containers of this host. */
  readonly connections: number;
}

/** Who balances new connections. */
export interface DataPath {
  /** The kernel, for all that it can; else this process. */
  readonly kernel: boolean;
  /** Why, for a person. */
  readonly reason: string;
}

/** How the process does; asking for it costs nothing. */
export interface IngressStatus {
  /** Ports that do not answer at this moment. */
  readonly errors: readonly ListenerError[];
  /** Addresses at which names are not answered at this moment, in words for a person. */
  readonly dnsProblems: readonly string[];
  /** Connections have to wait for want of file descriptors, in words for a person. */
  readonly fdProblem?: string | undefined;
  readonly path: DataPath;
}

export interface IngressStats extends IngressStatus {
  readonly version: number;
  readonly processId: number;
  readonly uptimeMs: number;
  readonly residentBytes: number;
  /** Connections the kernel could not hand over, mostly for want of file descriptors. */
  readonly acceptErrors: number;
  readonly listeners: readonly ListenerStats[];
  readonly vips: readonly VipStats[];
}

/** What makes two listeners the same socket. */
export function listenerKey(listener: Pick<IngressListener, "protocol" | "address" | "port">): string {
  return `${listener.protocol}/${listener.address}/${listener.port}`;
}

/** What makes two endpoints the same: a task that moved to another address is another endpoint. */
export function endpointKey(endpoint: IngressEndpoint): string {
  return `${endpoint.id}@${endpoint.address}/${endpoint.port}`;
}

/** `8080/tcp`, or `10.0.0.1:8080/tcp` when bound to one address. */
export function listenerName(listener: Pick<IngressListener, "protocol" | "address" | "port">): string {
  const host = listener.address.includes(":") ? `[${listener.address}]` : listener.address;
  return `${host === "" ? "" : `${host}:`}${listener.port}/${listener.protocol}`;
}
