/** Where new connections come in that the kernel balances. */
export type Frontend =
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
  readonly clientAddress: "masqueraded" | "preserved";
  /** Of a container on this host: connections from there must come back through this host all the same. "": none. */
  readonly localSubnet: string;
}

/** One door and who stands behind it. */
export interface KernelService {
  readonly frontend: Frontend;
  /** turn: each connection to the next one. source: all connections of a client's address to one. */
  readonly balance: "round-robin" | "source-hash";
  /** At least one, IPv4. */
  readonly endpoints: readonly KernelEndpoint[];
}

/** All that the kernel shall balance, by {@link frontendKey}. */
export type DesiredServices = ReadonlyMap<string, KernelService>;

/** Also the name of the service's chain. */
export function frontendKey(door: Frontend): string {
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

export function isSameService(a: KernelService, b: KernelService): boolean {
  if (a === b) return true;
  return (
    a.balance === b.balance &&
    a.endpoints.length === b.endpoints.length &&
    a.endpoints.every((endpoint, index) => isSameEndpoint(endpoint, b.endpoints[index]))
  );
}

export function isSameEndpoint(a: KernelEndpoint, b: KernelEndpoint | undefined): boolean {
  return (
    a.id === b?.id &&
    a.node === b.node &&
    a.address === b.address &&
    a.port === b.port &&
    a.clientAddress === b.clientAddress &&
    a.localSubnet === b.localSubnet
  );
}

/** Of two services behind one door the first stays. */
export function servicesByFrontend(services: Iterable<KernelService>): DesiredServices {
  const layout = new Map<string, KernelService>();
  for (const service of services) {
    const key = frontendKey(service.frontend);
    if (!layout.has(key)) layout.set(key, service);
  }
  return layout;
}
