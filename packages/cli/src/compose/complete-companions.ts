import {
  ownerCycleViolations,
  ownerNames,
  ownerViolations,
  Placement,
  type ServiceSpec,
  type SpecLookup,
} from "@berth/proto";
import { type Diagnostics, findPlace } from "./text/diagnostics.js";
import type { TranslatedService } from "./translate-service.js";

/**
 * Completes the specs of companions, the services that share namespaces or mounts with other services:
 *
 * - All owners of a companion run on the same node (`placement.beside`).
 * - A companion without a mode of its own inherits the mode and replicas of its owner.
 *
 * Reports companions with incompatible owners.
 */
export function completeCompanions(
  services: readonly TranslatedService[],
  diagnostics: Diagnostics,
): readonly TranslatedService[] {
  if (services.every(({ spec }) => ownerNames(spec).length === 0)) return services;
  const completed = inheritOwnerModes(placeOwnersTogether(services));
  const specs = new Map(completed.map(({ spec }) => [spec.name, spec]));
  const lookup: SpecLookup = (name) => specs.get(name);
  for (const { spec, origins } of completed) {
    // `checkProject` has already reported cycles that are also dependency cycles.
    const cycles = ownerCycleViolations(spec, lookup).filter(({ path }) => path === "placement.beside");
    for (const { path, message } of [...ownerViolations(spec, lookup), ...cycles]) {
      const place = findPlace(path, origins);
      if (!diagnostics.hasErrorAt(place)) diagnostics.error(place, message);
    }
  }
  return completed;
}

/**
 * Places the owners of each companion beside its first owner. An owner that is itself placed beside another service
 * stays there, and that service moves beside the first owner instead.
 *
 * This is a union-find: each service points to the service beside which it runs, and the last one of a chain, the root,
 * stands for all services of one node.
 */
function placeOwnersTogether(services: readonly TranslatedService[]): readonly TranslatedService[] {
  const ownersByName = new Map(services.map(({ spec }) => [spec.name, [...ownerNames(spec)]]));
  const besideByName = new Map<string, string>();
  /** Follows the chain of owners from a service to the service that runs beside no other. */
  const rootOf = (name: string): string => {
    const visited = new Set<string>();
    let current = name;
    while (!visited.has(current)) {
      visited.add(current);
      current = besideByName.get(current) ?? ownersByName.get(current)?.[0] ?? current;
    }
    return current;
  };
  for (const [first, ...others] of ownersByName.values()) {
    if (first === undefined) continue;
    for (const other of others) {
      const [root, otherRoot] = [rootOf(first), rootOf(other)];
      if (root !== otherRoot) besideByName.set(otherRoot, root);
    }
  }
  return services.map((service) => {
    const owner = besideByName.get(service.spec.name);
    if (owner === undefined) return service;
    const placement = { ...(service.spec.placement ?? Placement.fromPartial({})), beside: owner };
    return { ...service, spec: { ...service.spec, placement } };
  });
}

function inheritOwnerModes(services: readonly TranslatedService[]): readonly TranslatedService[] {
  const byName = new Map(services.map((service) => [service.spec.name, service]));
  // `visited` ends the recursion for owners that form a cycle.
  const modeOf = (service: TranslatedService, visited: ReadonlySet<string>): ServiceSpec["mode"] => {
    const { spec, hasMode } = service;
    const [name = ""] = ownerNames(spec);
    const owner = byName.get(name);
    if (hasMode || owner === undefined || visited.has(name)) return spec.mode;
    const mode = modeOf(owner, new Set([...visited, name]));
    return mode?.$case === "replicated" || mode?.$case === "global" ? mode : spec.mode;
  };
  return services.map((service) => {
    const mode = modeOf(service, new Set([service.spec.name]));
    return mode === service.spec.mode ? service : { ...service, spec: { ...service.spec, mode } };
  });
}
