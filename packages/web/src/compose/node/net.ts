// The parts of node:net that the reader of Compose files uses.
import { IPv4, IPv6, parse, parseCIDR } from "ipaddr.js";

/** Returns 4 or 6 for an IP address, and 0 for any other text. */
export function isIP(text: string): 0 | 4 | 6 {
  if (IPv4.isValidFourPartDecimal(text)) return 4;
  return text.includes(":") && IPv6.isValid(text) ? 6 : 0;
}

type Subnet = readonly [IPv4 | IPv6, number];

/** A set of addresses. */
export class BlockList {
  readonly #subnets: Subnet[] = [];

  addAddress(address: string): void {
    const parsed = parse(address);
    this.#subnets.push([parsed, parsed.kind() === "ipv4" ? 32 : 128]);
  }

  addSubnet(network: string, prefix: number): void {
    this.#subnets.push(parseCIDR(`${network}/${prefix}`));
  }

  check(address: string): boolean {
    const parsed = parse(address);
    return this.#subnets.some(
      ([network, prefix]) => network.kind() === parsed.kind() && parsed.match([network, prefix]),
    );
  }
}

/** An address in its canonical form. */
export class SocketAddress {
  readonly address: string;

  constructor({ address }: { readonly address: string }) {
    this.address = parse(address).toString();
  }
}
