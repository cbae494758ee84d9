import type { Service, ServiceSpec } from "@berth/proto";

/** Addresses that services have chosen for their tasks in the network of that name. */
export function staticAddresses(services: Iterable<Service>, network: string): readonly string[] {
  const addresses: string[] = [];
  for (const { spec } of services) {
    const address = spec && staticAddressIn(spec, network);
    if (address !== undefined) addresses.push(address);
  }
  return addresses;
}

/** The address that a service has chosen for its task in a network. */
export function staticAddressIn(spec: ServiceSpec, network: string): string | undefined {
  const joined = spec.task?.networks.find((each) => each.network === network);
  return joined?.ipv4Address || undefined;
}
