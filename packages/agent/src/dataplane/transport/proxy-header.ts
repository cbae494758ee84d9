import { isIPv4, isIPv6 } from "node:net";
import type { ConnectionAddresses } from "./transport.js";

/** The first bytes of every header of version 2. No request of another protocol starts with them. */
const PROXY_SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const VERSION_2_PROXY = 0x21;
const VERSION_2_LOCAL = 0x20;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;
const UNSPECIFIED_FAMILY = 0x00;

/**
 * Returns the PROXY protocol header, version 2 (haproxy.org/download/2.9/doc/proxy-protocol.txt, section 2.2), of a TCP
 * connection from a client to this host. Without addresses the header has the LOCAL command, which makes the endpoint
 * use the addresses of its own connection.
 */
export function proxyHeader(addresses: ConnectionAddresses | undefined): Uint8Array {
  if (addresses === undefined) return encodeHeader(VERSION_2_LOCAL, UNSPECIFIED_FAMILY, []);
  const source = unmapIpv4(addresses.remoteAddress);
  const destination = unmapIpv4(addresses.localAddress);
  const ports = [...encodeUint16(addresses.remotePort), ...encodeUint16(addresses.localPort)];
  if (isIPv4(source) && isIPv4(destination)) {
    const bytes = [source, destination].flatMap((address) => address.split(".").map(Number));
    return encodeHeader(VERSION_2_PROXY, TCP_OVER_IPV4, [...bytes, ...ports]);
  }
  const bytes = [source, destination].flatMap(encodeIpv6);
  return encodeHeader(VERSION_2_PROXY, TCP_OVER_IPV6, [...bytes, ...ports]);
}

function encodeHeader(versionAndCommand: number, family: number, body: readonly number[]): Uint8Array {
  const head = [...PROXY_SIGNATURE, versionAndCommand, family, ...encodeUint16(body.length)];
  return Uint8Array.from([...head, ...body]);
}

/** A dual-stack socket reports IPv4 clients as "::ffff:192.0.2.1". */
function unmapIpv4(address: string): string {
  const plain = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  return isIPv4(plain) ? plain : address;
}

function encodeUint16(value: number): readonly number[] {
  return [value >>> 8, value & 0xff];
}

/** Encodes an IPv6 address, an IPv4 address as a mapped one, and anything else as `::`. */
function encodeIpv6(address: string): readonly number[] {
  if (isIPv4(address)) return [...Array<number>(10).fill(0), 0xff, 0xff, ...address.split(".").map(Number)];
  const [plain = ""] = address.split("%");
  if (!isIPv6(plain)) return Array<number>(16).fill(0);
  const [head = "", tail] = plain.split("::");
  const before = parseGroups(head);
  const after = parseGroups(tail ?? "");
  const zeros = Array<number>(8 - before.length - after.length).fill(0);
  return [...before, ...zeros, ...after].flatMap(encodeUint16);
}

function parseGroups(text: string): readonly number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (!group.includes(".")) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}
