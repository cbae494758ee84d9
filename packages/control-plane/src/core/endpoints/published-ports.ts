import {
  describePublishedPort,
  type PortSpec,
  type PortSpec_Protocol,
  type ServiceSpec,
  type Violation,
} from "@berth/proto";
import { hostPortKey, isHostMode, portsClash } from "../scheduler/resource-request.js";

/** First port of the range for automatic ports, which is the same as in Docker Swarm. */
export const FIRST_PICKED_PORT = 30_000;

/** Last port of the range for automatic ports. */
export const LAST_PICKED_PORT = 32_767;

/** A port that a service publishes. */
export interface PortClaim {
  readonly serviceId: string;
  readonly serviceName: string;
  readonly port: PortSpec;
}

/** Returns the claims on a port number of a protocol, for any address and mode. */
export type ClaimLookup = (protocol: PortSpec_Protocol, published: number) => readonly PortClaim[];

/**
 * Returns a violation for each published port that another service already publishes.
 *
 * An ingress port is taken on every node. Two host-mode ports do not conflict, because placement keeps their tasks on
 * different nodes.
 */
export function portConflicts(
  spec: ServiceSpec,
  { serviceId, claimsOn }: { readonly serviceId: string; readonly claimsOn: ClaimLookup },
): readonly Violation[] {
  return spec.ports.flatMap((port, index) => {
    if (port.published === 0) return [];
    const holder = claimsOn(port.protocol, port.published).find(
      (claim) => claim.serviceId !== serviceId && portsConflict(claim.port, port),
    );
    if (holder === undefined) return [];
    const message = `port ${describePublishedPort(port)} is published by service ${holder.serviceName}`;
    return [{ path: `ports[${index}]`, message }];
  });
}

function portsConflict(a: PortSpec, b: PortSpec): boolean {
  if (isHostMode(a) && isHostMode(b)) return false;
  return portsClash(hostPortKey(a), hostPortKey(b));
}

/** A spec in which every ingress port has a number, or why there is none. */
export type PickedPorts =
  | { readonly kind: "picked"; readonly spec: ServiceSpec }
  | { readonly kind: "exhausted"; readonly violation: Violation };

/**
 * Picks a free published port for every ingress port without one.
 *
 * A port keeps the number that was picked for it before, so deploying the same spec again changes nothing.
 */
export function pickPorts(
  spec: ServiceSpec,
  { previous, claimsOn }: { readonly previous: ServiceSpec | undefined; readonly claimsOn: ClaimLookup },
): PickedPorts {
  const ownClaims = new Set(spec.ports.map(claimKey));
  let next = FIRST_PICKED_PORT;
  const pick = (port: PortSpec): PortSpec | undefined => {
    const earlier = findEarlierPick(port, previous);
    if (earlier !== undefined && !ownClaims.has(claimKey({ ...port, published: earlier }))) {
      return { ...port, published: earlier };
    }
    for (; next <= LAST_PICKED_PORT; next += 1) {
      const picked = { ...port, published: next };
      if (!ownClaims.has(claimKey(picked)) && claimsOn(port.protocol, next).length === 0) return picked;
    }
    return undefined;
  };
  const ports: PortSpec[] = [];
  for (const [index, port] of spec.ports.entries()) {
    const numbered = port.published !== 0 || isHostMode(port) ? port : pick(port);
    if (numbered === undefined) return exhaustedPorts(index);
    ownClaims.add(claimKey(numbered));
    ports.push(numbered);
  }
  return { kind: "picked", spec: { ...spec, ports } };
}

function claimKey(port: PortSpec): string {
  return `${port.protocol}/${port.published}`;
}

/** Returns the number that was picked for a port in the previous spec, or undefined if there is none. */
function findEarlierPick(port: PortSpec, previous: ServiceSpec | undefined): number | undefined {
  return previous?.ports.find(
    (old) =>
      !isHostMode(old) &&
      old.target === port.target &&
      old.protocol === port.protocol &&
      old.hostIp === port.hostIp &&
      old.published >= FIRST_PICKED_PORT &&
      old.published <= LAST_PICKED_PORT,
  )?.published;
}

function exhaustedPorts(index: number): PickedPorts {
  const message = `no port is free between ${FIRST_PICKED_PORT} and ${LAST_PICKED_PORT}; set "published" explicitly`;
  return { kind: "exhausted", violation: { path: `ports[${index}].published`, message } };
}
