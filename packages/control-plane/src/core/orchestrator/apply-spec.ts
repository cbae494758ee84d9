import { Rollout_State, Service, ServiceSpec } from "@berth/proto";
import { canonicalText } from "../model/canonical.js";
import { beginRollout, continueRollout } from "../model/rollout.js";
import { addTemplateChange, templateText, templateVersionAt, withSortedPorts } from "../model/template.js";
import { isJob, NO_TEMPLATE } from "./job-schedule.js";

export type SpecOutcome =
  | { readonly kind: "created"; readonly service: Service }
  | {
      readonly kind: "updated";
      readonly service: Service;
      /** Whether running tasks are replaced. Everything else is changed in place. */
      readonly replacesTasks: boolean;
      /** Top-level parts of the spec that differ, by their JSON names. */
      readonly changed: readonly string[];
    }
  | { readonly kind: "unchanged"; readonly service: Service };

export interface SpecContext {
  /** Id of a new service. */
  readonly id: string;
  readonly now: number;
  /** Specs that running tasks were created from, by version. Returning to one of them restarts none of its tasks. */
  readonly inUse?: ReadonlyMap<number, ServiceSpec>;
  /** The message of the rollback. Undefined unless the change is a rollback. */
  readonly rollback?: string;
}

/**
 * Applies a spec to a service. Both specs must have their defaults filled in, so that equal meanings are equal.
 *
 * A change of the template (container, limits, ports and networks as the task depends on them, the counter of forced
 * updates) replaces tasks and begins a rollout. Other changes apply to tasks created from now on: labels, replicas,
 * placement, reservations, restart and update policy. A service that was being removed is created again.
 */
export function applySpec(
  existing: Service | undefined,
  spec: ServiceSpec,
  context: SpecContext,
): SpecOutcome {
  const { id, now } = context;
  if (existing === undefined) return { kind: "created", service: newService(spec, id, now) };
  const changed = changedParts(existing.spec, spec);
  if (changed.length === 0 && !existing.removing) return { kind: "unchanged", service: existing };
  const version = existing.version + 1;
  const replacesTasks = templateText(existing.spec) !== templateText(spec);
  const service = { ...reviveService(existing, now), spec, version, updatedAtMs: now, removing: false };
  if (!replacesTasks) {
    const rollout = usesRollouts(existing, spec)
      ? continueRollout(existing.rollout, { version, changed, now })
      : undefined;
    return { kind: "updated", service: { ...service, rollout }, replacesTasks, changed };
  }
  const template = findEqualTemplate(existing, spec, context) ?? version;
  const updated = {
    ...service,
    templateVersion: template,
    templates: addTemplateChange(existing, { version, template }),
    rollout: usesRollouts(existing, spec) ? startRollout(existing, context) : undefined,
  };
  return { kind: "updated", service: updated, replacesTasks, changed };
}

/**
 * Returns a service that was being removed as a new one: it waits for its dependencies, and its job runs again. Its
 * runs end, because their results went with their tasks: continuing one would do its work twice.
 */
function reviveService(service: Service, now: number): Service {
  const { removing, job, cron } = service;
  if (!removing) return service;
  return {
    ...service,
    healthyVersion: 0,
    autoscale: undefined,
    job: job && { ...job, endedAtMs: job.endedAtMs || now, templateVersion: NO_TEMPLATE },
    cron: cron && { ...cron, runs: [] },
  };
}

/** A job begins a run instead, and a service that was being removed is created again. */
const usesRollouts = ({ removing }: Service, spec: ServiceSpec): boolean => !removing && !isJob(spec);

function startRollout({ version }: Service, { now, rollback }: SpecContext): Service["rollout"] {
  const start = { fromVersion: version, toVersion: version + 1, now };
  return rollback === undefined
    ? beginRollout({ ...start, state: Rollout_State.UPDATING })
    : beginRollout({ ...start, state: Rollout_State.ROLLING_BACK, message: rollback });
}

/** Returns the template of a version in use that equals the spec's. */
function findEqualTemplate(existing: Service, spec: ServiceSpec, { inUse }: SpecContext): number | undefined {
  if (inUse === undefined) return undefined;
  const text = templateText(spec);
  for (const [version, used] of inUse) {
    const template = templateVersionAt(existing, version);
    if (template > 0 && templateText(used) === text) return template;
  }
  return undefined;
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
