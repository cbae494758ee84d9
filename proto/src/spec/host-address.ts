import { BlockList, isIP, SocketAddress } from "node:net";

/** Address ranges in which no host can be reached from another one, with the reason. */
const UNREACHABLE_RANGES: readonly (readonly [reason: string, range: BlockList])[] = [
  ["is not a host address", blockList(["0.0.0.0/8", "240.0.0.0/4", "::/128"])],
  ["is a multicast address", blockList(["224.0.0.0/4", "ff00::/8"])],
  ["is a link-local address", blockList(["169.254.0.0/16", "fe80::/10"])],
];
const LOOPBACK_RANGES = blockList(["127.0.0.0/8", "::1/128"]);
const IPV4_MAPPED_PATTERN = /^::ffff:/i;

function blockList(subnets: readonly string[]): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = "", prefix] = subnet.split("/");
    list.addSubnet(address, Number(prefix), familyOf(address));
  }
  return list;
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 4 ? "ipv4" : "ipv6";
}

/**
 * Returns the canonical form of an IP address, so that addresses can be compared as text, or undefined for any other
 * text, and for addresses with a zone.
 */
export function canonicalIp(text: string): string | undefined {
  if (isIP(text) === 0 || text.includes("%")) return undefined;
  return new SocketAddress({ address: text, family: familyOf(text) }).address;
}

/** Returns whether an address is a loopback address. Returns false for text that is not an IP address. */
export function isLoopback(address: string): boolean {
  return isIP(address) !== 0 && LOOPBACK_RANGES.check(address, familyOf(address));
}

/**
 * Returns why text is not usable as a host's address for other hosts, or undefined for a usable address in canonical
 * form. Loopback addresses are accepted here: all hosts may run on one machine.
 */
export function hostAddressProblem(text: string): string | undefined {
  const canonical = canonicalIp(text);
  if (canonical === undefined || IPV4_MAPPED_PATTERN.test(text)) return "is not an IP address";
  for (const [reason, range] of UNREACHABLE_RANGES) {
    if (range.check(text, familyOf(text))) return reason;
  }
  return canonical === text ? undefined : `is not written as ${canonical}`;
}
