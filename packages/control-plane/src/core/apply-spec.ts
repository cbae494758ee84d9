import { type PortSpec, Service, ServiceSpec } from "@berth/proto";
import { canonicalText } from "./canonical.js";
import { isHostMode } from "./occupancy.js";

export type SpecOutcome =
  | { readonly kind: "created"; readonly service: Service }
  | {
      readonly kind: "updated";
      readonly service: Service;
      /** Whether running tasks are replaced. All else is changed in place. */
      readonly replacesTasks: boolean;
      /** Top-level parts of the spec that differ, by their JSON names. */
      readonly changed: readonly string[];
    }
  | { readonly kind: "unchanged"; readonly service: Service };

/**
 * Makes a service what a spec says. Both specs must have their defaults filled in, so that equal meanings are equal.
 *
 * What a task runs decides about its replacement: container, limits, and the ports as its node sees them. Labels of
 * the service, replicas, placement, reservations, restart and update policy apply to tasks made from now on.
 * A service that is being removed comes back to life: what is stopping stops, and new tasks are made.
 */
export function applySpec(
  existing: Service | undefined,
  spec: ServiceSpec,
  { id, now }: { readonly id: string; readonly now: number },
): SpecOutcome {
  if (existing === undefined) return { kind: "created", service: newService(spec, id, now) };
  const changed = changedParts(existing.spec, spec);
  if (changed.length === 0 && !existing.removing) return { kind: "unchanged", service: existing };
  const version = existing.version + 1;
  const replacesTasks = templateText(existing.spec) !== templateText(spec);
  const service = {
    ...existing,
    spec,
    version,
    templateVersion: replacesTasks ? version : existing.templateVersion,
    updatedAtMs: now,
    removing: false,
  };
  return { kind: "updated", service, replacesTasks, changed };
}

function newService(spec: ServiceSpec, id: string, now: number): Service {
  return Service.fromPartial({
    id,
    spec,
    version: 1,
    templateVersion: 1,
    createdAtMs: now,
    updatedAtMs: now,
  });
}

function changedParts(before: ServiceSpec | undefined, after: ServiceSpec): readonly string[] {
  const old = partTexts(before);
  const fresh = partTexts(after);
  const names = [...new Set([...old.keys(), ...fresh.keys()])].sort();
  return names.filter((name) => old.get(name) !== fresh.get(name));
}

function partTexts(spec: ServiceSpec | undefined): ReadonlyMap<string, string> {
  const json = spec === undefined ? {} : ServiceSpec.toJSON(withSortedPorts(spec));
  return new Map(Object.entries(json ?? {}).map(([name, part]) => [name, canonicalText(part)]));
}

/** The order in which ports are listed means nothing. */
function withSortedPorts(spec: ServiceSpec): ServiceSpec {
  const key = (port: PortSpec): string => canonicalText(port);
  return { ...spec, ports: [...spec.ports].sort((a, b) => (key(a) < key(b) ? -1 : 1)) };
}

/** What a container of the service is made from. The published port of an ingress is not: it is the agents' matter. */
function templateText(spec: ServiceSpec | undefined): string {
  if (spec === undefined) return "";
  const ports = spec.ports.map((port) => (isHostMode(port) ? port : { ...port, published: 0, hostIp: "" }));
  const template = ServiceSpec.fromPartial({
    task: { container: spec.task?.container, limits: spec.task?.limits },
    ports,
  });
  return canonicalText(ServiceSpec.toJSON(withSortedPorts(template)));
}
