/** A block of IPv4 addresses: its first address as a number, and the length of the prefix that all of them share. */
export interface Subnet {
  readonly base: number;
  readonly prefix: number;
}

const ADDRESS_BITS = 32;
const OCTET_PATTERN = /^(?:0|[1-9][0-9]{0,2})$/;

/**
 * Parses an address such as "10.64.0.1" to a number. Returns undefined for any other text, including octets with leading
 * zeros, which some programs read as octal.
 */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    if (!OCTET_PATTERN.test(part) || Number(part) > 255) return undefined;
    address = address * 256 + Number(part);
  }
  return address;
}

/** Formats an address: the inverse of `parseIpv4`. */
export function ipv4Text(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

/** Parses a subnet such as "10.64.0.0/18". Returns undefined for any other text, including one with host bits set. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = "", length = "", ...rest] = text.split("/");
  const base = parseIpv4(address);
  if (base === undefined || rest.length > 0 || !/^[0-9]{1,2}$/.test(length)) return undefined;
  const prefix = Number(length);
  if (prefix > ADDRESS_BITS || base % subnetSize({ prefix }) !== 0) return undefined;
  return { base, prefix };
}

/** Formats a subnet: the inverse of `parseSubnet`. */
export function subnetText({ base, prefix }: Subnet): string {
  return `${ipv4Text(base)}/${prefix}`;
}

/** Returns the number of addresses in a subnet. */
export function subnetSize({ prefix }: Pick<Subnet, "prefix">): number {
  return 2 ** (ADDRESS_BITS - prefix);
}

/** Returns whether an address is in a subnet. */
export function subnetHas(subnet: Subnet, address: number): boolean {
  return address >= subnet.base && address < subnet.base + subnetSize(subnet);
}

/** Returns whether two subnets have an address in common. */
export function subnetsOverlap(a: Subnet, b: Subnet): boolean {
  return subnetHas(a, b.base) || subnetHas(b, a.base);
}
