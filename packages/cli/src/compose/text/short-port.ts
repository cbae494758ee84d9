import { isIP } from "node:net";
import { type InvalidText, invalid, type Parsed, valid } from "./parsed.js";

/** One port of the short form `[ip:][published:]target[/protocol]`, with its ranges expanded. */
export interface ShortPort {
  readonly hostIp: string;
  /** 0 when the leader assigns the port. */
  readonly published: number;
  readonly target: number;
  readonly protocol: "tcp" | "udp";
}

/** All ports of one short form. */
export interface ShortPorts {
  readonly ports: readonly ShortPort[];
  /** Set for `8000-9000:80`, where Docker may publish any port of the range. `ports` contains the first one. */
  readonly choice: string | undefined;
}

const SHORT = /^(?:(\[[^\]]*\]|[^:]*):)?(?:([^:]*):)?([^:/]*)(?:\/([a-z]+))?$/i;
const MAX_PORT = 65_535;

/** Parses the short form of a port, which can contain ranges. */
export function parseShortPorts(text: string): Parsed<ShortPorts> {
  const match = SHORT.exec(text);
  if (match === null)
    return invalidPort(text, 'use a form such as "8080:80", "127.0.0.1:8080:80/udp" or "80"');
  const [, first, second, targetText = "", protocolText = "tcp"] = match;
  // With a single colon, the first group holds the published port instead of the address.
  const [hostText, publishedText] = second === undefined ? ["", first ?? ""] : [first ?? "", second];
  const hostIp = hostText.replace(/^\[|\]$/g, "");
  if (hostIp !== "" && isIP(hostIp) === 0)
    return invalidPort(text, `${JSON.stringify(hostIp)} is not an IP address`);
  const protocol = parseProtocol(protocolText);
  if (protocol.kind === "invalid") return invalidPort(text, protocol.reason);
  const target = parsePortRange(targetText);
  if (target.kind === "invalid") return invalidPort(text, `container port ${target.reason}`);
  if (publishedText === "") {
    return expandRanges({ hostIp, protocol: protocol.value, targets: target.value, published: undefined });
  }
  const published = parsePortRange(publishedText);
  if (published.kind === "invalid") return invalidPort(text, `published port ${published.reason}`);
  if (published.value.length !== target.value.length && target.value.length !== 1) {
    return invalidPort(text, "the two ranges have different lengths");
  }
  return expandRanges({
    hostIp,
    protocol: protocol.value,
    targets: target.value,
    published: published.value,
  });
}

/** Parses `tcp` or `udp` in any case. */
export function parseProtocol(text: string): Parsed<"tcp" | "udp"> {
  const protocol = text.toLowerCase();
  if (protocol === "tcp" || protocol === "udp") return valid(protocol);
  return invalid(`${JSON.stringify(text)} is not a supported protocol: use tcp or udp`);
}

/** Parses `80` or `8000-8010` to the list of all ports. */
export function parsePortRange(text: string): Parsed<readonly number[]> {
  const [, firstText, lastText = firstText] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  const first = Number(firstText);
  const last = Number(lastText);
  const quoted = JSON.stringify(text);
  if (Number.isNaN(first)) return invalid(`${quoted} is not a port or a range of ports`);
  if (first < 1 || last > MAX_PORT || last < first)
    return invalid(`${quoted} is not within 1 to ${MAX_PORT}`);
  return valid(Array.from({ length: last - first + 1 }, (_, index) => first + index));
}

interface PortRanges {
  readonly hostIp: string;
  readonly protocol: "tcp" | "udp";
  readonly targets: readonly number[];
  readonly published: readonly number[] | undefined;
}

function expandRanges({ hostIp, protocol, targets, published }: PortRanges): Parsed<ShortPorts> {
  const ports = targets.map((target, index) => ({
    hostIp,
    protocol,
    target,
    published: published?.[index] ?? 0,
  }));
  const isChoice = published !== undefined && published.length > targets.length;
  const choice = isChoice ? `${published[0]}-${published.at(-1)}` : undefined;
  return valid({ ports, choice });
}

function invalidPort(text: string, reason: string): InvalidText {
  return invalid(`${JSON.stringify(text)} is not a port: ${reason}`);
}
