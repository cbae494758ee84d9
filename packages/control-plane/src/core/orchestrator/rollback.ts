import { type Service, ServiceSpec } from "@berth/proto";
import { canonicalText } from "../model/canonical.js";
import { withSortedPorts } from "../model/template.js";

export type RollbackTarget =
  | { readonly kind: "found"; readonly version: number; readonly spec: ServiceSpec }
  | { readonly kind: "none"; readonly why: string };

/**
 * Where a rollback goes: to the version asked for, or (0) to the newest one that ran well and says something else
 * than the service does now. A version that never ran well is only gone back to by name.
 */
export function rollbackTarget(
  service: Service,
  asked: number,
  kept: ReadonlyMap<number, ServiceSpec>,
): RollbackTarget {
  if (asked !== 0) {
    const spec = kept.get(asked);
    return spec === undefined
      ? { kind: "none", why: `there is no version ${asked}` }
      : { kind: "found", version: asked, spec };
  }
  const now = specText(service.spec);
  for (const version of [service.healthyVersion, ...service.earlierHealthyVersions]) {
    const spec = kept.get(version);
    if (spec !== undefined && specText(spec) !== now) return { kind: "found", version, spec };
  }
  return { kind: "none", why: "no other version is known to have run well; name one" };
}

const specText = (spec: ServiceSpec | undefined): string =>
  spec === undefined ? "" : canonicalText(ServiceSpec.toJSON(withSortedPorts(spec)));
