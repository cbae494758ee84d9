import { isIPv6 } from "node:net";

/**
 * Returns the source that an address counts for in limits: an IPv4 address, or an IPv6 network of 64 bits, of which a
 * host can use every address.
 */
export function sourceOf(address: string): string {
  const [, mapped] = /^::ffff:([0-9.]+)$/i.exec(address) ?? [];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - last.length);
  const all = [...groups, ...Array<string>(zeros).fill("0"), ...last];
  return all.slice(0, 4).join(":");
}

/** Returns the source of a client with this address and port. */
export function clientSource(client: string): string {
  return sourceOf(client.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1"));
}
