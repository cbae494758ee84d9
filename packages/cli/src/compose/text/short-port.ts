import { isIP } from "node:net";
import { MAX_PORTS_PER_SERVICE } from "@berth/proto";
import { type InvalidText, invalid, type Parsed, valid } from "./parsed.js";

/** One port of the short form `[ip:][published:]target[/protocol]`, with its ranges expanded. */
export interface ShortPort {
  readonly hostIp: string;
  /** 0 when the leader assigns the port. */
  readonly published: number;
  readonly target: number;
  readonly protocol: PortProtocol;
}

/** The protocols that Docker supports. */
export type PortProtocol = "tcp" | "udp" | "sctp";

/** All ports of one short form. */
export interface ShortPorts {
  readonly ports: readonly ShortPort[];
  /**
   * The range of which Docker may publish any port, as in `8000-9000:80`. `ports` contains the first one. Undefined if
   * there is no choice.
   */
  readonly choice: string | undefined;
}

/** Pattern of a short port. As in Docker, the first of several protocols applies (`53:53/tcp/udp`). */
const SHORT = /^(?:(\[[^\]]*\]|[^:]*):)?(?:([^:]*):)?([^:/]*)(?:\/([a-z]+)(?:\/.*)?)?$/i;
/** Pattern of an IPv6 address without brackets before the ports. */
const UNBRACKETED = /^[0-9a-f]*:[0-9a-f:]*:\d+:\d+$/i;
const MAX_PORT = 65_535;

/** Parses the short form of a port, which can contain ranges. */
export function parseShortPorts(text: string): Parsed<ShortPorts> {
  const match = SHORT.exec(text);
  if (match === null && UNBRACKETED.test(text)) {
    return invalidPort(text, 'put the IPv6 address in brackets, as in "[::1]:8080:80"');
  }
  if (match === null) {
    return invalidPort(text, 'use a form such as "8080:80", "127.0.0.1:8080:80/udp" or "80"');
  }
  const [, first, second, targetText = "", protocolText = "tcp"] = match;
  // With a single colon, the first group holds the published port instead of the address.
  const [hostText, publishedText] = second === undefined ? ["", first ?? ""] : [first ?? "", second];
  const hostIp = hostText.replace(/^\[|\]$/g, "");
  if (hostIp !== "" && isIP(hostIp) === 0) {
    return invalidPort(text, `${JSON.stringify(hostIp)} is not an IP address`);
  }
  const protocol = parsePortProtocol(protocolText);
  if (protocol.kind === "invalid") return invalidPort(text, protocol.reason);
  const target = parsePortRange(targetText);
  if (target.kind === "invalid") return invalidPort(text, `container port ${target.reason}`);
  const count = portCount(target.value);
  if (count > MAX_PORTS_PER_SERVICE) {
    return invalidPort(text, `too many ports (${count}, maximum ${MAX_PORTS_PER_SERVICE})`);
  }
  if (publishedText === "") {
    return expandRanges({ hostIp, protocol: protocol.value, targets: target.value, published: undefined });
  }
  const published = parsePortRange(publishedText);
  if (published.kind === "invalid") return invalidPort(text, `published port ${published.reason}`);
  if (portCount(published.value) !== count && count !== 1) {
    return invalidPort(text, "the two ranges have different lengths");
  }
  return expandRanges({
    hostIp,
    protocol: protocol.value,
    targets: target.value,
    published: published.value,
  });
}

/** Parses a protocol in any case. */
export function parsePortProtocol(text: string): Parsed<PortProtocol> {
  const protocol = text.toLowerCase();
  if (protocol === "tcp" || protocol === "udp" || protocol === "sctp") return valid(protocol);
  return invalid(`${JSON.stringify(text)} is not a protocol; use tcp or udp`);
}

/** Parses a protocol that berth can publish. */
export function parseProtocol(text: string): Parsed<"tcp" | "udp"> {
  const parsed = parsePortProtocol(text);
  if (parsed.kind === "invalid") return parsed;
  return parsed.value === "sctp"
    ? invalid("the protocol sctp is not supported; use tcp or udp")
    : valid(parsed.value);
}

/** Consecutive ports. A single port is a range whose first port is also the last. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Parses `80` or `8000-8010`. */
export function parsePortRange(text: string): Parsed<PortRange> {
  const [, firstText, lastText = firstText] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  const first = Number(firstText);
  const last = Number(lastText);
  const quoted = JSON.stringify(text);
  if (Number.isNaN(first)) return invalid(`${quoted} is not a port or a range of ports`);
  if (first < 1 || last > MAX_PORT || last < first) {
    return invalid(`${quoted} is not between 1 and ${MAX_PORT}`);
  }
  return valid({ first, last });
}

function portCount({ first, last }: PortRange): number {
  return last - first + 1;
}

interface PortRanges {
  readonly hostIp: string;
  readonly protocol: PortProtocol;
  readonly targets: PortRange;
  readonly published: PortRange | undefined;
}

function expandRanges({ hostIp, protocol, targets, published }: PortRanges): Parsed<ShortPorts> {
  const count = portCount(targets);
  const ports = Array.from({ length: count }, (_, index) => ({
    hostIp,
    protocol,
    target: targets.first + index,
    published: published === undefined ? 0 : published.first + index,
  }));
  const isChoice = published !== undefined && portCount(published) > count;
  const choice = isChoice ? `${published.first}-${published.last}` : undefined;
  return valid({ ports, choice });
}

function invalidPort(text: string, reason: string): InvalidText {
  return invalid(`${JSON.stringify(text)} is not a port: ${reason}`);
}
