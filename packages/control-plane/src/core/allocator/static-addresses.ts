import type { Service, ServiceSpec } from "@berth/proto";

/** Returns the static addresses of all services in the network of this name. */
export function staticAddresses(services: Iterable<Service>, network: string): readonly string[] {
  const addresses: string[] = [];
  for (const { spec } of services) {
    const address = spec && staticAddressIn(spec, network);
    if (address !== undefined) addresses.push(address);
  }
  return addresses;
}

/** Returns a service's static address in a network, or undefined if Docker chooses the addresses of its tasks. */
export function staticAddressIn(spec: ServiceSpec, network: string): string | undefined {
  const attachment = spec.task?.networks.find((candidate) => candidate.network === network);
  return attachment?.ipv4Address || undefined;
}
