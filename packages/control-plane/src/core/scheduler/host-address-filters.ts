import { canonicalIp, isLoopback, type ServiceSpec } from "@berth/proto";
import { nodesText } from "../model/text.js";
import { type Filter, passFilter } from "./filter.js";
import { isHostMode } from "./resource-request.js";

/** Addresses that stand for all addresses of a host. */
const WILDCARD_ADDRESSES: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/** Returns the addresses that a node must have, because a host-mode port is bound to them. All hosts have a loopback. */
export function requiredAddresses({ ports }: Pick<ServiceSpec, "ports">): readonly string[] {
  const addresses = ports.filter(isHostMode).flatMap(({ hostIp }) => canonicalIp(hostIp) ?? []);
  return [...new Set(addresses)].filter(
    (address) => !WILDCARD_ADDRESSES.has(address) && !isLoopback(address),
  );
}

/** Excludes nodes that lack an address. A node whose addresses are not known is tried. */
export function hostAddressFilter(address: string): Filter {
  return passFilter({
    name: "host-address",
    passes: ({ node }) => {
      const { addresses = [] } = node.description?.dataPlane ?? {};
      return addresses.length === 0 || addresses.includes(address);
    },
    explain: (count) =>
      `${nodesText(count, { one: "does", many: "do" })} not have the address ${address}, on which a host-mode port is published`,
  });
}
