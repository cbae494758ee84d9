import { canonicalIp, isLoopback } from "@berth/proto";
import { isBridgeName } from "./devices.js";
import type { ObservedLink } from "./observed-state.js";

/** Matches link-local addresses, to which no port is bound. */
const LINK_LOCAL = /^(?:169\.254\.|fe[89ab][0-9a-f]:)/i;

/**
 * Returns the addresses of a host that ports can be bound to, sorted. Excludes loopback addresses, which all hosts
 * have, and addresses in berth's networks.
 */
export function hostAddresses(links: Iterable<Pick<ObservedLink, "name" | "addresses">>): string[] {
  const addresses = new Set<string>();
  for (const link of links) {
    if (isBridgeName(link.name)) continue;
    for (const text of link.addresses) {
      const address = canonicalIp(text);
      if (address !== undefined && !isLoopback(address) && !LINK_LOCAL.test(address)) addresses.add(address);
    }
  }
  return [...addresses].sort();
}
