import { type Service, ServiceSpec } from "@berth/proto";
import { canonicalText } from "../model/canonical.js";
import type { ServiceDefinition } from "../model/snapshot.js";
import { templateNetworks, templatePorts, templateText, withSortedPorts } from "../model/template.js";

/** The version that a rollback restores, or why there is none. */
export type RollbackTarget =
  | { readonly kind: "found"; readonly version: number; readonly spec: ServiceSpec }
  | { readonly kind: "none"; readonly reason: string };

/**
 * Returns the version that a requested rollback restores.
 *
 * @param version the version that the user asked for. If 0, the newest healthy version with another spec is restored
 */
export function rollbackTarget(
  service: Service,
  version: number,
  revisions: ReadonlyMap<number, ServiceSpec>,
): RollbackTarget {
  if (version !== 0) {
    const spec = revisions.get(version);
    return spec === undefined
      ? { kind: "none", reason: `version ${version} is not stored: it was deleted or never existed` }
      : { kind: "found", version, spec };
  }
  const currentText = canonicalSpecText(service.spec);
  for (const healthy of [service.healthyVersion, ...service.earlierHealthyVersions]) {
    const spec = revisions.get(healthy);
    if (spec !== undefined && canonicalSpecText(spec) !== currentText) {
      return { kind: "found", version: healthy, spec };
    }
  }
  return { kind: "none", reason: "no earlier healthy version has another spec; specify a version" };
}

/**
 * Returns the spec that an automatic rollback deploys, or undefined if no version with another template was healthy.
 *
 * It restores the template of the last healthy version, and every other field that the failed version changed. The
 * number of replicas and the fields that were changed after the failed version was deployed keep their current values.
 */
export function automaticRollbackSpec(definition: ServiceDefinition): ServiceSpec | undefined {
  const { service, spec, revisions } = definition;
  const healthy = revisions.get(service.healthyVersion);
  // Compares texts, because an unused template gets a new version number when a user restores it.
  if (healthy === undefined || templateText(healthy) === templateText(spec)) return undefined;
  const failed = revisions.get(failedVersion(service)) ?? spec;
  const restored = restoreHealthyFields({ healthy, failed, current: spec });
  return {
    ...restored,
    mode: areBothReplicated(healthy, spec) ? spec.mode : restored.mode,
    ports: haveSameTemplatePorts(healthy, spec) ? spec.ports : healthy.ports,
    task: healthy.task && {
      ...restoreHealthyFields({
        healthy: healthy.task,
        failed: failed.task ?? healthy.task,
        current: spec.task ?? healthy.task,
      }),
      container: healthy.task.container,
      limits: healthy.task.limits,
      forceUpdate: healthy.task.forceUpdate,
      networks: haveSameTemplateNetworks(healthy, spec) ? (spec.task?.networks ?? []) : healthy.task.networks,
    },
  };
}

/**
 * Returns the version that began the current rollout. Later versions of the same rollout change no template. Without a
 * rollout, this is the current version.
 */
export function failedVersion({ rollout, version }: Service): number {
  return rollout === undefined ? version : rollout.fromVersion + 1;
}

/** A message with the same fields in three versions of the spec. */
interface FieldVersions<T> {
  readonly healthy: T;
  /** The value with which the failed version was deployed. */
  readonly failed: T;
  readonly current: T;
}

/** Returns the current message with the healthy value of each field that has not changed since the failed version. */
function restoreHealthyFields<T extends object>({ healthy, failed, current }: FieldVersions<T>): T {
  const restored = { ...current };
  for (const field of Object.keys({ ...healthy, ...current }) as (keyof T)[]) {
    if (canonicalText(current[field]) === canonicalText(failed[field])) restored[field] = healthy[field];
  }
  return restored;
}

function areBothReplicated(healthy: ServiceSpec, current: ServiceSpec): boolean {
  return healthy.mode?.$case === "replicated" && current.mode?.$case === "replicated";
}

/** Returns whether the ports differ at most in their published numbers, which tasks do not depend on. */
function haveSameTemplatePorts(a: ServiceSpec, b: ServiceSpec): boolean {
  return canonicalText(templatePorts(a)) === canonicalText(templatePorts(b));
}

/** Returns whether the networks differ at most in their aliases, which tasks do not depend on. */
function haveSameTemplateNetworks(a: ServiceSpec, b: ServiceSpec): boolean {
  return canonicalText(templateNetworks(a)) === canonicalText(templateNetworks(b));
}

function canonicalSpecText(spec: ServiceSpec | undefined): string {
  return spec === undefined ? "" : canonicalText(ServiceSpec.toJSON(withSortedPorts(spec)));
}
