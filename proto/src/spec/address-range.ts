import { BlockList, isIP } from "node:net";

/** Asks whether an address lies in the range; false for what is no address. */
export type AddressRange = (address: string) => boolean;

/** Parses one address (`192.0.2.1`) or a network (`192.0.2.0/24`, `2001:db8::/32`); undefined for anything else. */
export function parseAddressRange(text: string): AddressRange | undefined {
  const [address = "", prefix, ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return undefined;
  const list = new BlockList();
  if (prefix === undefined) list.addAddress(address, familyOf(version));
  else {
    if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > (version === 4 ? 32 : 128)) return undefined;
    list.addSubnet(address, Number(prefix), familyOf(version));
  }
  return (candidate) => isIP(candidate) !== 0 && list.check(candidate, familyOf(isIP(candidate)));
}

const familyOf = (version: number): "ipv4" | "ipv6" => (version === 4 ? "ipv4" : "ipv6");
