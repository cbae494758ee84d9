import { isIP } from "node:net";
import { type PortSpec, PortSpec_Mode, PortSpec_Protocol } from "../../gen/berth/v1/spec.js";
import type { Report } from "./violation.js";

const MAX_PORT = 65_535;
const PROTOCOLS: readonly number[] = [PortSpec_Protocol.TCP, PortSpec_Protocol.UDP];
const MODES: readonly number[] = [PortSpec_Mode.INGRESS, PortSpec_Mode.HOST];
/** Maximum number of ports of a service. Every port in ingress mode is a listener on every host. */
export const MAX_PORTS_PER_SERVICE = 2_000;

/** Checks the ports of one service. */
export function validatePorts(ports: readonly PortSpec[], report: Report): void {
  if (ports.length > MAX_PORTS_PER_SERVICE) {
    report("ports", `too many ports (${ports.length}, maximum ${MAX_PORTS_PER_SERVICE})`);
    return;
  }
  ports.forEach((port, index) => {
    validatePort(port, `ports[${index}]`, report);
  });
  for (const { port, index, holderIndex } of findPortConflicts(ports)) {
    report(
      `ports[${index}]`,
      `port ${describePublishedPort(port)} is already published by ports[${holderIndex}]`,
    );
  }
}

/** A port that conflicts with an earlier one. */
export interface PortConflict {
  readonly port: PortSpec;
  readonly index: number;
  /** Index of the first port that publishes the same port. */
  readonly holderIndex: number;
}

/** Finds ports with the same protocol and published port as an earlier one, on overlapping addresses. */
export function findPortConflicts(ports: readonly PortSpec[]): readonly PortConflict[] {
  const publishedPorts = new Map<string, { readonly hostIp: string; readonly index: number }[]>();
  const conflicts: PortConflict[] = [];
  ports.forEach((port, index) => {
    const { hostIp, published } = port;
    if (published === 0) return;
    const key = `${protocolName(port)}/${published}`;
    const earlier = publishedPorts.get(key) ?? [];
    const holder = earlier.find((other) => addressesOverlap(other.hostIp, hostIp));
    if (holder !== undefined) conflicts.push({ port, index, holderIndex: holder.index });
    earlier.push({ hostIp, index });
    publishedPorts.set(key, earlier);
  });
  return conflicts;
}

/** Returns `8080/tcp`, or `127.0.0.1:8080/tcp` when the port has an address. */
export function describePublishedPort(port: PortSpec): string {
  const address = isIP(port.hostIp) === 6 ? `[${port.hostIp}]` : port.hostIp;
  return `${address === "" ? "" : `${address}:`}${port.published}/${protocolName(port)}`;
}

function protocolName(port: PortSpec): "tcp" | "udp" {
  return port.protocol === PortSpec_Protocol.UDP ? "udp" : "tcp";
}

/**
 * A wildcard address of either family overlaps all addresses, because an IPv6 socket can accept IPv4 too. The scheduler
 * uses the same rule.
 */
function addressesOverlap(a: string, b: string): boolean {
  return a === b || isAnyAddress(a) || isAnyAddress(b);
}

function isAnyAddress(address: string): boolean {
  return address === "" || address === "0.0.0.0" || address === "::";
}

function validatePort(port: PortSpec, path: string, report: Report): void {
  if (!Number.isInteger(port.target) || port.target < 1 || port.target > MAX_PORT) {
    report(`${path}.target`, `${port.target} is not a valid container port (1 to ${MAX_PORT})`);
  }
  if (!Number.isInteger(port.published) || port.published < 0 || port.published > MAX_PORT) {
    report(
      `${path}.published`,
      `${port.published} is not a valid port (1 to ${MAX_PORT}, or 0 to assign one automatically)`,
    );
  }
  if (port.hostIp !== "" && isIP(port.hostIp) === 0) {
    report(`${path}.host_ip`, `${JSON.stringify(port.hostIp)} is not an IP address`);
  }
  if (!PROTOCOLS.includes(port.protocol)) report(`${path}.protocol`, "the protocol is neither tcp nor udp");
  if (!MODES.includes(port.mode)) report(`${path}.mode`, "the mode is neither ingress nor host");
}
