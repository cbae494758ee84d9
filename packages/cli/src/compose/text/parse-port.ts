import { isIP } from "node:net";
import type { Parsed } from "./units.js";

/** The short form of a port, `[ip:][published:]target[/protocol]`, with its ranges spread out. */
export interface ShortPort {
  readonly hostIp: string;
  /** 0: to be picked. */
  readonly published: number;
  readonly target: number;
  readonly protocol: "tcp" | "udp";
}

export interface ShortPorts {
  readonly ports: readonly ShortPort[];
  /** `8000-9000:80`: any of these may be published, and the first was taken. */
  readonly choice: string | undefined;
}

const SHORT = /^(?:(\[[^\]]*\]|[^:]*):)?(?:([^:]*):)?([^:/]*)(?:\/([a-z]+))?$/i;
const MAX_PORT = 65_535;

export function parseShortPorts(text: string): Parsed<ShortPorts> {
  const match = SHORT.exec(text);
  if (match === null) return invalid(text, 'write it like "8080:80", "127.0.0.1:8080:80/udp" or "80"');
  const [, first, second, targetText = "", protocolText = "tcp"] = match;
  // With one colon the expression takes what stands before it as its first part.
  const [hostText, publishedText] = second === undefined ? ["", first ?? ""] : [first ?? "", second];
  const hostIp = hostText.replace(/^\[|\]$/g, "");
  if (hostIp !== "" && isIP(hostIp) === 0)
    return invalid(text, `${JSON.stringify(hostIp)} is not an IP address`);
  const protocol = parseProtocol(protocolText);
  if (protocol.kind === "invalid") return invalid(text, protocol.reason);
  const target = parsePortRange(targetText);
  if (target.kind === "invalid") return invalid(text, `container port ${target.reason}`);
  if (publishedText === "") {
    return spread({ hostIp, protocol: protocol.value, targets: target.value, published: undefined });
  }
  const published = parsePortRange(publishedText);
  if (published.kind === "invalid") return invalid(text, `published port ${published.reason}`);
  if (published.value.length !== target.value.length && target.value.length !== 1) {
    return invalid(text, "its two ranges have different lengths");
  }
  return spread({ hostIp, protocol: protocol.value, targets: target.value, published: published.value });
}

export function parseProtocol(text: string): Parsed<"tcp" | "udp"> {
  const protocol = text.toLowerCase();
  if (protocol === "tcp" || protocol === "udp") return { kind: "value", value: protocol };
  return { kind: "invalid", reason: `${JSON.stringify(text)} is not possible as protocol: use tcp or udp` };
}

/** `80` or `8000-8010`, first to last. */
export function parsePortRange(text: string): Parsed<readonly number[]> {
  const [, firstText, lastText = firstText] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  const first = Number(firstText);
  const last = Number(lastText);
  const shown = JSON.stringify(text);
  if (Number.isNaN(first)) return { kind: "invalid", reason: `${shown} is not a port or a range of ports` };
  if (first < 1 || last > MAX_PORT || last < first) {
    return { kind: "invalid", reason: `${shown} is not within 1 to ${MAX_PORT}` };
  }
  return { kind: "value", value: Array.from({ length: last - first + 1 }, (_, index) => first + index) };
}

interface Ranges {
  readonly hostIp: string;
  readonly protocol: "tcp" | "udp";
  readonly targets: readonly number[];
  readonly published: readonly number[] | undefined;
}

function spread({ hostIp, protocol, targets, published }: Ranges): Parsed<ShortPorts> {
  const ports = targets.map((target, index) => ({
    hostIp,
    protocol,
    target,
    published: published?.[index] ?? 0,
  }));
  const isChoice = published !== undefined && published.length > targets.length;
  const choice = isChoice ? `${published[0]}-${published.at(-1)}` : undefined;
  return { kind: "value", value: { ports, choice } };
}

function invalid(text: string, reason: string): Parsed<ShortPorts> {
  return { kind: "invalid", reason: `${JSON.stringify(text)} is not a port: ${reason}` };
}
