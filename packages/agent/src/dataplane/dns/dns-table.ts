/** A network that containers on this host are connected to. */
export interface DnsNetwork {
  readonly id: string;
  readonly name: string;
  /** The stack that the network belongs to. Empty if it belongs to none. */
  readonly stack: string;
  /** "10.64.0.0/18" */
  readonly subnet: string;
  /** The host's own address in the network, on which the DNS server listens. */
  readonly gateway: string;
  /** The network's bridge device on this host. */
  readonly bridge: string;
  /** True if the network has no route to the outside. Its containers cannot resolve external names either. */
  readonly isInternal?: boolean;
}

/** A healthy task of a service and its address in a network. */
export interface DnsTask {
  readonly id: string;
  readonly nodeId: string;
  readonly address: string;
  readonly slot: number;
}

/** A service in one network. */
export interface DnsService {
  /** "NETWORK_ID/SERVICE_ID" */
  readonly key: string;
  readonly networkId: string;
  /** Full name, with the stack: "shop_api" */
  readonly service: string;
  readonly stack: string;
  /** The service's name in its stack and its aliases. */
  readonly names: readonly string[];
  /** "" when the names resolve to the addresses of tasks. */
  readonly vip: string;
  readonly endpoints: readonly DnsTask[];
  /** True if all connections of a client address go to the same task. By default, tasks take turns. */
  readonly hasSourceAffinity?: boolean;
  /** How long a TCP client of the virtual IP waits when no task accepts its connection, in ms. 0 when undefined. */
  readonly holdMs?: number;
  /** Tasks that keep their connections and get no new ones. */
  readonly draining: readonly DnsTask[];
}

/** A container on this host that sends queries from an address. A container in several networks has several clients. */
export interface DnsClient {
  readonly address: string;
  /** The networks that the container is connected to, in order of preference. */
  readonly networkIds: readonly string[];
  /** The service's own servers for external names; the host's are used when there are none. */
  readonly dns: readonly string[];
  /** Names that only the container knows, by alias. In lower case. */
  readonly links?: ReadonlyMap<string, string>;
}

/** The complete data from which the DNS server of this host answers. */
export interface DnsTable {
  readonly networks: readonly DnsNetwork[];
  readonly services: readonly DnsService[];
  readonly clients: readonly DnsClient[];
}

export const EMPTY_DNS_TABLE: DnsTable = { networks: [], services: [], clients: [] };

/** Returns the table with tasks on suspect nodes as draining, except in services that have no other tasks. */
export function demoteSuspects(table: DnsTable, suspectNodes: ReadonlySet<string>): DnsTable {
  if (suspectNodes.size === 0) return table;
  return { ...table, services: table.services.map((service) => demoteTasks(service, suspectNodes)) };
}

function demoteTasks(service: DnsService, suspectNodes: ReadonlySet<string>): DnsService {
  const trusted = service.endpoints.filter(({ nodeId }) => !suspectNodes.has(nodeId));
  if (trusted.length === 0 || trusted.length === service.endpoints.length) return service;
  const demoted = service.endpoints.filter(({ nodeId }) => suspectNodes.has(nodeId));
  return { ...service, endpoints: trusted, draining: [...service.draining, ...demoted] };
}
