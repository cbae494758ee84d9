import { Rollout_State, Service, ServiceSpec } from "@berth/proto";
import { canonicalText } from "../model/canonical.js";
import { beginRollout, continueRollout } from "../model/rollout.js";
import { addTemplateChange, templateText, templateVersionAt, withSortedPorts } from "../model/template.js";
import { isJob, NO_TEMPLATE } from "./job-schedule.js";

/** The result of applying a spec. The API writes the service unless it is unchanged. */
export type SpecOutcome =
  | { readonly kind: "created"; readonly service: Service }
  | {
      readonly kind: "updated";
      readonly service: Service;
      /** Whether running tasks are replaced. Other changes apply in place. */
      readonly replacesTasks: boolean;
      /** Top-level fields of the spec that differ, by their JSON names. */
      readonly changed: readonly string[];
    }
  | { readonly kind: "unchanged"; readonly service: Service };

export interface SpecContext {
  /** ID of a new service. */
  readonly id: string;
  readonly nowMs: number;
  /** Specs that running tasks were created from, by version. Returning to one of them does not restart its tasks. */
  readonly specsInUse?: ReadonlyMap<number, ServiceSpec>;
  /** The message of the rollback. Undefined if the change is not a rollback. */
  readonly rollbackMessage?: string | undefined;
}

/**
 * Applies a spec to a service. Both specs must have their defaults filled in; otherwise equal specs look different.
 *
 * A change of the template replaces tasks and begins a rollout (see `templateText`). Other changes apply to tasks created
 * from now on: labels, replicas, placement, reservations, restart and update policy. A service that was being removed is
 * created again.
 */
export function applySpec(
  existing: Service | undefined,
  spec: ServiceSpec,
  context: SpecContext,
): SpecOutcome {
  const { id, nowMs } = context;
  if (existing === undefined) return { kind: "created", service: newService(spec, id, nowMs) };
  const changed = changedFields(existing.spec, spec);
  if (changed.length === 0 && !existing.removing) return { kind: "unchanged", service: existing };
  const version = existing.version + 1;
  const replacesTasks = templateText(existing.spec) !== templateText(spec);
  const service = { ...reviveService(existing, nowMs), spec, version, updatedAtMs: nowMs, removing: false };
  if (!replacesTasks) {
    const rollout = usesRollouts(existing, spec)
      ? continueRollout(existing.rollout, { version, changed, nowMs })
      : undefined;
    return { kind: "updated", service: { ...service, rollout }, replacesTasks, changed };
  }
  const templateVersion = findEqualTemplate(existing, spec, context) ?? version;
  const updated = {
    ...service,
    templateVersion,
    templates: addTemplateChange(existing, { version, templateVersion }),
    rollout: usesRollouts(existing, spec) ? startRollout(existing, context) : undefined,
  };
  return { kind: "updated", service: updated, replacesTasks, changed };
}

/**
 * Resets a service that was being removed to a new service: it waits for its dependencies, and its job runs again.
 *
 * Its active runs end. Their results were deleted with their tasks, so a continued run would repeat its work.
 */
function reviveService(service: Service, nowMs: number): Service {
  const { removing, job, cron } = service;
  if (!removing) return service;
  return {
    ...service,
    healthyVersion: 0,
    autoscale: undefined,
    job: job && { ...job, endedAtMs: job.endedAtMs || nowMs, templateVersion: NO_TEMPLATE },
    cron: cron && { ...cron, runs: [] },
  };
}

/** Returns whether a change begins a rollout. A job begins a run instead, and a revived service is new. */
function usesRollouts({ removing }: Service, spec: ServiceSpec): boolean {
  return !removing && !isJob(spec);
}

function startRollout({ version }: Service, { nowMs, rollbackMessage }: SpecContext): Service["rollout"] {
  const start = { fromVersion: version, toVersion: version + 1, nowMs };
  return rollbackMessage === undefined
    ? beginRollout({ ...start, state: Rollout_State.UPDATING })
    : beginRollout({ ...start, state: Rollout_State.ROLLING_BACK, message: rollbackMessage });
}

/** Returns the template version in use that equals the template of the spec, or undefined if there is none. */
function findEqualTemplate(
  existing: Service,
  spec: ServiceSpec,
  { specsInUse }: SpecContext,
): number | undefined {
  if (specsInUse === undefined) return undefined;
  const text = templateText(spec);
  for (const [version, usedSpec] of specsInUse) {
    const templateVersion = templateVersionAt(existing, version);
    if (templateVersion > 0 && templateText(usedSpec) === text) return templateVersion;
  }
  return undefined;
}

function newService(spec: ServiceSpec, id: string, nowMs: number): Service {
  return Service.fromPartial({
    id,
    spec,
    version: 1,
    templateVersion: 1,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  });
}

/** Returns the names of the top-level fields that differ, sorted. */
function changedFields(before: ServiceSpec | undefined, after: ServiceSpec): readonly string[] {
  const textsBefore = fieldTexts(before);
  const textsAfter = fieldTexts(after);
  const names = [...new Set([...textsBefore.keys(), ...textsAfter.keys()])].sort();
  return names.filter((name) => textsBefore.get(name) !== textsAfter.get(name));
}

function fieldTexts(spec: ServiceSpec | undefined): ReadonlyMap<string, string> {
  const json = spec === undefined ? {} : ServiceSpec.toJSON(withSortedPorts(spec));
  return new Map(Object.entries(json ?? {}).map(([name, value]) => [name, canonicalText(value)]));
}
