import type { Service, ServiceSpec } from "@berth/proto";
import type { Plan } from "../model/plan.js";
import { isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import type { ServiceSnapshot } from "../model/snapshot.js";
import { applySpec } from "./apply-spec.js";
import { type DependencyLookup, isMet } from "./dependencies.js";
import { isJob } from "./job-schedule.js";
import { findSpecsInUse } from "./specs-in-use.js";

/** Returns the record of a service by its full name, or undefined if it does not exist. */
export type ServiceLookup = (service: string) => Service | undefined;

export interface RestartContext {
  readonly serviceNamed: ServiceLookup;
  readonly stateOf: DependencyLookup;
  readonly nowMs: number;
}

/**
 * Plans the restart of a service whose dependencies with `restart` have been updated. Returns undefined if there is
 * nothing to do, or if a dependency is still being updated.
 *
 * The service remembers the template versions of these dependencies. When one has another template version and its
 * condition holds again, all tasks of the service are replaced, as by a forced update.
 */
export function planDependencyRestart(
  { service, spec, tasks, revisions }: ServiceSnapshot,
  { serviceNamed, stateOf, nowMs }: RestartContext,
): Plan | undefined {
  if (service.removing || isJob(spec) || isRolloutPaused(service.rollout)) return undefined;
  const settled = settledTemplates(spec, { serviceNamed, stateOf });
  const previousTemplates = service.dependencyTemplates;
  const changed = Object.keys(settled).filter((name) => settled[name] !== previousTemplates[name]);
  if (changed.length === 0) return undefined;
  const dependencyTemplates = { ...previousTemplates, ...settled };
  const updated = changed.filter((name) => previousTemplates[name] !== undefined);
  if (updated.length === 0) {
    const reason = `remember the version of ${changed.join(", ")}`;
    const action = { kind: "update-service", service: { ...service, dependencyTemplates }, reason } as const;
    return { actions: [action], problems: [], requeueAtMs: nowMs };
  }
  const specsInUse = findSpecsInUse(tasks, (version) => revisions.get(version));
  const { service: restarted } = applySpec(service, withForcedUpdate(spec), {
    id: service.id,
    nowMs,
    specsInUse,
  });
  const action = {
    kind: "restart-service",
    service: { ...restarted, dependencyTemplates },
    reason: `restart with ${updated.join(", ")}`,
  } as const;
  return { actions: [action], problems: [], requeueAtMs: nowMs };
}

/** Returns whether a service is restarted with another one. */
export function restartsWith({ dependsOn }: ServiceSpec, dependency: string): boolean {
  return dependsOn.some(({ service, restart }) => restart && service === dependency);
}

/** Returns the template versions of the dependencies with `restart` that are not being updated, by name. */
function settledTemplates(
  { dependsOn }: ServiceSpec,
  { serviceNamed, stateOf }: Pick<RestartContext, "serviceNamed" | "stateOf">,
): Readonly<Record<string, number>> {
  const settled: Record<string, number> = {};
  for (const { service: name, condition, restart } of dependsOn) {
    const dependency = restart ? serviceNamed(name) : undefined;
    if (dependency === undefined || dependency.removing) continue;
    const { rollout, templateVersion } = dependency;
    if (isRolloutActive(rollout) || isRolloutPaused(rollout)) continue;
    const state = stateOf(name);
    if (state !== undefined && isMet(condition, state)) settled[name] = templateVersion;
  }
  return settled;
}

function withForcedUpdate(spec: ServiceSpec): ServiceSpec {
  const { task } = spec;
  return task === undefined ? spec : { ...spec, task: { ...task, forceUpdate: task.forceUpdate + 1 } };
}
