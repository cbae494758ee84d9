/** Where new connections come in that the kernel balances. */
export type KernelDoor =
  /** A published port, on all IPv4 addresses of the host. */
  | { readonly kind: "port"; readonly protocol: Protocol; readonly port: number }
  /** A published port on one address of the host. */
  | { readonly kind: "bound"; readonly protocol: Protocol; readonly address: string; readonly port: number }
  /** A virtual IP of a network. */
  | { readonly kind: "vip"; readonly protocol: Protocol; readonly address: string; readonly port: number };

export type Protocol = "tcp" | "udp";

/** A replica as the kernel reaches it. */
export interface KernelEndpoint {
  /** The task's id. */
  readonly id: string;
  /** The node that it runs on. */
  readonly node: string;
  readonly address: string;
  readonly port: number;
  /** masqueraded: its answers find their way back only to this host. kept: it sees the client's address. */
  readonly source: "masqueraded" | "kept";
  /** Of a container on this host: connections from there must come back through this host all the same. "": none. */
  readonly subnet: string;
}

/** One door and who stands behind it. */
export interface KernelService {
  readonly door: KernelDoor;
  /** turn: each connection to the next one. source: all connections of a client's address to one. */
  readonly pick: "turn" | "source";
  /** At least one, IPv4. */
  readonly endpoints: readonly KernelEndpoint[];
}

/** All that the kernel shall balance, by {@link doorKey}. */
export type KernelLayout = ReadonlyMap<string, KernelService>;

/** Also the name of the service's chain. */
export function doorKey(door: KernelDoor): string {
  switch (door.kind) {
    case "port":
      return `port-${door.protocol}-${door.port}`;
    case "bound":
    case "vip":
      return `${door.kind}-${door.protocol}-${door.address}-${door.port}`;
  }
}

/** `10.0.0.1 . tcp . 80`: an endpoint as nft names it. */
export function endpointElement(protocol: Protocol, { address, port }: KernelEndpoint): string {
  return `${address} . ${protocol} . ${port}`;
}

export function sameService(a: KernelService, b: KernelService): boolean {
  if (a === b) return true;
  return (
    a.pick === b.pick &&
    a.endpoints.length === b.endpoints.length &&
    a.endpoints.every((endpoint, index) => sameEndpoint(endpoint, b.endpoints[index]))
  );
}

export function sameEndpoint(a: KernelEndpoint, b: KernelEndpoint | undefined): boolean {
  return (
    a.id === b?.id &&
    a.node === b.node &&
    a.address === b.address &&
    a.port === b.port &&
    a.source === b.source &&
    a.subnet === b.subnet
  );
}

/** Of two services behind one door the first stays. */
export function layoutOf(services: Iterable<KernelService>): KernelLayout {
  const layout = new Map<string, KernelService>();
  for (const service of services) {
    const key = doorKey(service.door);
    if (!layout.has(key)) layout.set(key, service);
  }
  return layout;
}
