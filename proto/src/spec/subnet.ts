/** A block of IPv4 addresses: the first one as a number, and how many leading bits they share. */
export interface Subnet {
  readonly base: number;
  readonly prefix: number;
}

const ADDRESS_BITS = 32;
const OCTET = /^(?:0|[1-9][0-9]{0,2})$/;

/** "10.64.0.1" as a number; undefined for anything else. Leading zeros are refused: some read them as octal. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    if (!OCTET.test(part) || Number(part) > 255) return undefined;
    address = address * 256 + Number(part);
  }
  return address;
}

export function ipv4Text(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

/** "10.64.0.0/18"; undefined for what is no subnet, also for one with bits set behind its prefix ("10.64.0.1/18"). */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = "", length = "", ...rest] = text.split("/");
  const base = parseIpv4(address);
  if (base === undefined || rest.length > 0 || !/^[0-9]{1,2}$/.test(length)) return undefined;
  const prefix = Number(length);
  if (prefix > ADDRESS_BITS || base % subnetSize({ prefix }) !== 0) return undefined;
  return { base, prefix };
}

export function subnetText({ base, prefix }: Subnet): string {
  return `${ipv4Text(base)}/${prefix}`;
}

/** How many addresses it has. */
export function subnetSize({ prefix }: Pick<Subnet, "prefix">): number {
  return 2 ** (ADDRESS_BITS - prefix);
}

export function subnetHas(subnet: Subnet, address: number): boolean {
  return address >= subnet.base && address < subnet.base + subnetSize(subnet);
}

export function subnetsOverlap(a: Subnet, b: Subnet): boolean {
  return subnetHas(a, b.base) || subnetHas(b, a.base);
}
