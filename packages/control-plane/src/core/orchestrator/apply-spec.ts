import { Rollout_State, Service, ServiceSpec } from "@berth/proto";
import { canonicalText } from "../model/canonical.js";
import { beginRollout, continueRollout } from "../model/rollout.js";
import { markTemplate, templateOf, templateText, withSortedPorts } from "../model/template.js";
import { NO_TEMPLATE } from "./jobs/job-history.js";
import { isJob } from "./jobs/job-mode.js";

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

export interface SpecContext {
  /** Of a service that is new. */
  readonly id: string;
  readonly now: number;
  /** Specs of versions that tasks run at present, by version: going back to one of them restarts none of its tasks. */
  readonly inUse?: ReadonlyMap<number, ServiceSpec>;
  /** The change is a rollback: what is said of it, for a person. */
  readonly rollback?: string;
}

/**
 * Makes a service what a spec says. Both specs must have their defaults filled in, so that equal meanings are equal.
 *
 * What a task runs decides about its replacement: container, limits, the ports as its node sees them, and the counter
 * of forced updates. Labels of the service, replicas, placement, reservations, restart and update policy apply to
 * tasks made from now on. A change that replaces tasks begins a rollout, whatever became of the one before.
 * A service that is being removed comes back to life: what is stopping stops, and new tasks are made.
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
  const service = { ...revived(existing, now), spec, version, updatedAtMs: now, removing: false };
  if (!replacesTasks) {
    const rollout = hasRollouts(existing, spec)
      ? continueRollout(existing.rollout, { version, changed, now })
      : undefined;
    return { kind: "updated", service: { ...service, rollout }, replacesTasks, changed };
  }
  const template = sameTemplate(existing, spec, context) ?? version;
  const updated = {
    ...service,
    templateVersion: template,
    templates: markTemplate(existing, { version, template }),
    // A job begins a new run in place of a rollout.
    rollout: hasRollouts(existing, spec) ? nextRollout(existing, context) : undefined,
  };
  return { kind: "updated", service: updated, replacesTasks, changed };
}

/**
 * A service that was being removed begins as a new one does: it waits for what it depends on, and its job runs again.
 * Its runs are over, what they have done is gone with their tasks: going on with one would do it twice.
 */
function revived(service: Service, now: number): Service {
  const { removing, job, cron } = service;
  if (!removing) return service;
  const ended = job && { ...job, endedAtMs: job.endedAtMs || now, templateVersion: NO_TEMPLATE };
  const forgotten = cron && { ...cron, runs: [] };
  return { ...service, healthyVersion: 0, autoscale: undefined, job: ended, cron: forgotten };
}

/** A job begins a new run instead, and a service that was being removed is made anew. */
const hasRollouts = ({ removing }: Service, spec: ServiceSpec): boolean => !removing && !isJob(spec);

function nextRollout({ version }: Service, { now, rollback }: SpecContext): Service["rollout"] {
  const start = { fromVersion: version, toVersion: version + 1, now };
  return rollback === undefined
    ? beginRollout({ ...start, state: Rollout_State.UPDATING })
    : beginRollout({ ...start, state: Rollout_State.ROLLING_BACK, message: rollback });
}

/** The template of a version in use whose tasks need not be told from those of the spec. */
function sameTemplate(existing: Service, spec: ServiceSpec, { inUse }: SpecContext): number | undefined {
  if (inUse === undefined) return undefined;
  const text = templateText(spec);
  for (const [version, used] of inUse) {
    const template = templateOf(existing, version);
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
