import { isIP } from "node:net";
import { type PortSpec, PortSpec_Mode, PortSpec_Protocol } from "../../gen/berth/v1/spec.js";
import type { Report } from "./violation.js";

const MAX_PORT = 65_535;
/** Maximum number of ports of a service. Every published port is a listener on every host. */
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
  for (const [first, second] of findPortConflicts(ports)) {
    const port = ports[second];
    if (port !== undefined) {
      report(`ports[${second}]`, `port ${describePublished(port)} is already published by ports[${first}]`);
    }
  }
}

/**
 * Returns the pairs of indexes of ports that conflict, because they have the same protocol and port on overlapping
 * addresses. Each conflicting port is paired with the first port that it conflicts with.
 */
export function findPortConflicts(ports: readonly PortSpec[]): readonly (readonly [number, number])[] {
  const indexesByPort = new Map<string, number[]>();
  const conflicts: (readonly [number, number])[] = [];
  ports.forEach((port, index) => {
    if (port.published === 0) return;
    const key = `${protocolName(port)}/${port.published}`;
    const earlier = indexesByPort.get(key) ?? [];
    const first = earlier.find((other) => addressesOverlap(ports[other]?.hostIp ?? "", port.hostIp));
    if (first !== undefined) conflicts.push([first, index]);
    earlier.push(index);
    indexesByPort.set(key, earlier);
  });
  return conflicts;
}

/** Returns `8080/tcp`, or `127.0.0.1:8080/tcp` when the port has an address. */
export function describePublished(port: PortSpec): string {
  const address = isIP(port.hostIp) === 6 ? `[${port.hostIp}]` : port.hostIp;
  return `${address === "" ? "" : `${address}:`}${port.published}/${protocolName(port)}`;
}

function protocolName(port: PortSpec): "tcp" | "udp" {
  return port.protocol === PortSpec_Protocol.UDP ? "udp" : "tcp";
}

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
    report(`${path}.published`, `${port.published} is not a valid port (1 to ${MAX_PORT}, or 0 to pick one)`);
  }
  if (port.hostIp !== "" && isIP(port.hostIp) === 0) {
    report(`${path}.host_ip`, `${JSON.stringify(port.hostIp)} is not an IP address`);
  }
  const protocols: readonly number[] = [PortSpec_Protocol.TCP, PortSpec_Protocol.UDP];
  if (!protocols.includes(port.protocol)) report(`${path}.protocol`, "the protocol is neither tcp nor udp");
  const modes: readonly number[] = [PortSpec_Mode.INGRESS, PortSpec_Mode.HOST];
  if (!modes.includes(port.mode)) report(`${path}.mode`, "the mode is neither ingress nor host");
}
