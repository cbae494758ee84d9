import { BlockList, isIP } from "node:net";

/** Returns whether an address is in the range. Returns false for text that is not an IP address. */
export type AddressRange = (address: string) => boolean;

const MAX_PREFIX = { ipv4: 32, ipv6: 128 } as const;

/**
 * Parses an address (`192.0.2.1`) or a network (`192.0.2.0/24`, `2001:db8::/32`). Returns undefined if the text is
 * neither.
 */
export function parseAddressRange(text: string): AddressRange | undefined {
  const [address = "", prefix, ...rest] = text.split("/");
  const family = familyOf(address);
  if (family === undefined || rest.length > 0) return undefined;
  const range = new BlockList();
  if (prefix === undefined) {
    range.addAddress(address, family);
  } else {
    if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > MAX_PREFIX[family]) return undefined;
    range.addSubnet(address, Number(prefix), family);
  }
  return (candidate) => {
    const candidateFamily = familyOf(candidate);
    return candidateFamily !== undefined && range.check(candidate, candidateFamily);
  };
}

/** Returns the family of an IP address, or undefined for any other text. */
function familyOf(address: string): "ipv4" | "ipv6" | undefined {
  const version = isIP(address);
  if (version === 0) return undefined;
  return version === 4 ? "ipv4" : "ipv6";
}
