/** A network that containers of this host are in. */
export interface DnsNetwork {
  readonly id: string;
  /** Full name. */
  readonly name: string;
  /** The stack that it goes with; "": none. */
  readonly stack: string;
  /** Containers are in it, "10.64.0.0/18". */
  readonly subnet: string;
  /** The host's own address in it: names are answered there. */
  readonly gateway: string;
  /** The bridge device of this host. */
  readonly bridge: string;
  /** Nothing gets out of it, questions for names of the outside neither. Absent: false. */
  readonly isInternal?: boolean;
}

/** Where a healthy task of a service answers in a network. */
export interface DnsTask {
  /** The task's id. */
  readonly id: string;
  readonly nodeId: string;
  readonly address: string;
  readonly slot: number;
}

/** A service in one network, by its names there. */
export interface DnsService {
  /** "<network id>/<service id>" */
  readonly key: string;
  readonly networkId: string;
  /** Full name. */
  readonly service: string;
  readonly stack: string;
  /** What containers call it: its name in its stack, and its aliases. */
  readonly names: readonly string[];
  /** Its virtual IP; "": its names stand for the addresses of its tasks. */
  readonly vip: string;
  readonly endpoints: readonly DnsTask[];
  /** All connections of an asker's address go to one task. Absent: they take turns. */
  readonly hasSourceAffinity?: boolean;
  /** They get no new connections; those they have live on. */
  readonly draining: readonly DnsTask[];
}

/** A container of this host, by an address that its questions come from. */
export interface DnsClient {
  readonly address: string;
  /** Networks that it is in, the first one first. */
  readonly networkIds: readonly string[];
  /** Servers that its service wants asked for names of the outside; none: those of the host. */
  readonly dns: readonly string[];
}

/** The names that this host's containers can use. */
export interface DnsTable {
  readonly networks: readonly DnsNetwork[];
  readonly services: readonly DnsService[];
  readonly clients: readonly DnsClient[];
}

export const EMPTY_DNS_TABLE: DnsTable = { networks: [], services: [], clients: [] };
