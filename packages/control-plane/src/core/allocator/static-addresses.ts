import type { Service, ServiceSpec } from "@berth/proto";

/** Returns the addresses that services have chosen for their tasks in a network, given by name. */
export function staticAddresses(services: Iterable<Service>, network: string): readonly string[] {
  const addresses: string[] = [];
  for (const { spec } of services) {
    const address = spec && staticAddressIn(spec, network);
    if (address !== undefined) addresses.push(address);
  }
  return addresses;
}

/** Returns the address that a service has chosen in a network. Undefined when it leaves the choice to Docker. */
export function staticAddressIn(spec: ServiceSpec, network: string): string | undefined {
  const attachment = spec.task?.networks.find((each) => each.network === network);
  return attachment?.ipv4Address || undefined;
}
