import { type Service, ServiceSpec, type Task } from "@berth/proto";
import { canonicalText } from "../model/canonical.js";
import type { ServiceDefinition } from "../model/snapshot.js";
import { isEnded, shouldRun } from "../model/task-state.js";
import { templateNetworks, templatePorts, templateText, withSortedPorts } from "../model/template.js";

/** The version that a rollback restores, or why there is none. */
export type RollbackTarget =
  | { readonly kind: "found"; readonly version: number; readonly spec: ServiceSpec }
  | { readonly kind: "none"; readonly reason: string };

/**
 * Returns the version that a requested rollback restores.
 *
 * @param version the version that the user asked for. With 0, the newest healthy version with another spec is restored
 */
export function rollbackTarget(
  service: Service,
  version: number,
  revisions: ReadonlyMap<number, ServiceSpec>,
): RollbackTarget {
  if (version !== 0) {
    const spec = revisions.get(version);
    return spec === undefined
      ? { kind: "none", reason: `version ${version} does not exist` }
      : { kind: "found", version, spec };
  }
  const current = specText(service.spec);
  for (const healthy of [service.healthyVersion, ...service.earlierHealthyVersions]) {
    const spec = revisions.get(healthy);
    if (spec !== undefined && specText(spec) !== current) return { kind: "found", version: healthy, spec };
  }
  return { kind: "none", reason: "no other version was healthy; specify a version" };
}

/**
 * Returns the spec that an automatic rollback deploys, or undefined if no version with another template was healthy.
 *
 * It restores the template of the last healthy version, and every other part that the failed version changed. The
 * number of replicas and the parts that were changed after the failed version was deployed keep their current values.
 */
export function automaticRollbackSpec(definition: ServiceDefinition): ServiceSpec | undefined {
  const { service, spec, revisions } = definition;
  const healthy = revisions.get(service.healthyVersion);
  // Compares texts, because an unused template gets a new version number when a user restores it.
  if (healthy === undefined || templateText(healthy) === templateText(spec)) return undefined;
  const failed = revisions.get((service.rollout?.fromVersion ?? 0) + 1) ?? spec;
  const restored = restoreHealthyParts({ healthy, failed, current: spec });
  return {
    ...restored,
    mode: areBothReplicated(healthy, spec) ? spec.mode : restored.mode,
    ports: haveSameTemplatePorts(healthy, spec) ? spec.ports : healthy.ports,
    task: healthy.task && {
      ...restoreHealthyParts({
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

/** One part of the spec in three versions. */
interface Versions<T> {
  readonly healthy: T;
  /** The value with which the failed version was deployed. */
  readonly failed: T;
  readonly current: T;
}

/** Returns the healthy value of each part that has not changed since the failed version was deployed. */
function restoreHealthyParts<T extends object>({ healthy, failed, current }: Versions<T>): T {
  const restored = { ...current };
  for (const part of Object.keys({ ...healthy, ...current }) as (keyof T)[]) {
    if (canonicalText(current[part]) === canonicalText(failed[part])) restored[part] = healthy[part];
  }
  return restored;
}

const areBothReplicated = (healthy: ServiceSpec, current: ServiceSpec): boolean =>
  healthy.mode?.$case === "replicated" && current.mode?.$case === "replicated";

/** Returns whether the ports differ at most in their published numbers, which tasks do not depend on. */
const haveSameTemplatePorts = (a: ServiceSpec, b: ServiceSpec): boolean =>
  canonicalText(templatePorts(a)) === canonicalText(templatePorts(b));

/** Returns whether the networks differ at most in their aliases, which tasks do not depend on. */
const haveSameTemplateNetworks = (a: ServiceSpec, b: ServiceSpec): boolean =>
  canonicalText(templateNetworks(a)) === canonicalText(templateNetworks(b));

const specText = (spec: ServiceSpec | undefined): string =>
  spec === undefined ? "" : canonicalText(ServiceSpec.toJSON(withSortedPorts(spec)));

/** Returns the specs that the running tasks of a service were created from, by version. */
export function findSpecsInUse(
  tasks: Iterable<Task>,
  findSpec: (version: number) => ServiceSpec | undefined,
): ReadonlyMap<number, ServiceSpec> {
  const specs = new Map<number, ServiceSpec>();
  for (const task of tasks) {
    if (specs.has(task.specVersion) || !shouldRun(task) || isEnded(task)) continue;
    const spec = findSpec(task.specVersion);
    if (spec !== undefined) specs.set(task.specVersion, spec);
  }
  return specs;
}
