import { type ClaimLookup, pickPorts, portConflicts } from "../../core/endpoints/published-ports.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { PortClaims } from "../../state/port-claims.js";
import type { ServiceTarget } from "./decide-deployment.js";
import { type ServiceViolation, violationsError } from "./violations.js";

export interface PortContext {
  readonly state: ClusterState;
  /** IDs of services whose ports become free with the same change. */
  readonly removed: readonly string[];
  /** First part of the error message, which says what failed. */
  readonly errorPrefix: string;
}

/**
 * Picks a number for every published port without one, and checks that no other service publishes the same port.
 *
 * @throws BerthError BERTH_PORT_IN_USE with every conflict
 */
export function resolvePorts(
  targets: readonly ServiceTarget[],
  { state, removed, errorPrefix }: PortContext,
): readonly ServiceTarget[] {
  const planned = new PortClaims();
  for (const { id, spec } of targets) planned.add(id, spec);
  const released = new Set([...targets.map(({ id }) => id), ...removed]);
  const claimsOn: ClaimLookup = (protocol, published) => [
    ...state.services.ports.claimsOn(protocol, published).filter(({ serviceId }) => !released.has(serviceId)),
    ...planned.claimsOn(protocol, published),
  ];
  const violations: ServiceViolation[] = [];
  const resolved = targets.map(({ id, spec }) => {
    const picked = pickPorts(spec, { previous: state.services.get(id)?.spec, claimsOn });
    if (picked.kind === "exhausted") {
      violations.push({ service: spec.name, ...picked.violation });
      return { id, spec };
    }
    planned.remove(id, spec);
    planned.add(id, picked.spec);
    return { id, spec: picked.spec };
  });
  for (const { id, spec } of resolved) {
    for (const violation of portConflicts(spec, { serviceId: id, claimsOn })) {
      violations.push({ service: spec.name, ...violation });
    }
  }
  if (violations.length > 0) throw violationsError("BERTH_PORT_IN_USE", errorPrefix, violations);
  return resolved;
}
