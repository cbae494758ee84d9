import type { Service } from "@berth/proto";
import type { CheckContext } from "./check-context.js";
import type { RecordChange } from "./records.js";
import { replicasOf } from "./task-counts.js";

/** From the end of the faults, or of the last change of the load: some decisions, five seconds apart, and their windows. */
const SCALED_MS = 35_000;
/** A load this close to its target is as good as on it. */
const TOLERANCE = 0.1;

/** A1: as many replicas as the load asks for, within their bounds. */
export class Autoscaling {
  readonly #context: CheckContext;

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onChange({ services }: RecordChange): void {
    for (const { after } of services) {
      if (after?.spec?.autoscale === undefined || after.autoscale === undefined) continue;
      const { min, max } = after.spec.autoscale;
      const { replicas } = after.autoscale;
      // The bounds may be newer than what was decided within the old ones.
      if (replicas >= min && replicas <= max) continue;
      this.#context.report("A1", `${after.spec.name} is scaled to ${replicas}, not within ${min} to ${max}`);
    }
  }
}

/** Undefined: as it should be. */
export function unmetLoad(service: Service, { cluster }: CheckContext): string | undefined {
  const { spec } = service;
  if (spec?.autoscale === undefined) return undefined;
  const { min, max, targetConnections } = spec.autoscale;
  const load = cluster.world.loads.get(spec.name) ?? 0;
  const current = replicasOf(service);
  const wanted = Math.min(Math.max(Math.ceil(load / targetConnections), min), max);
  const isNear = Math.abs(load / current / targetConnections - 1) <= TOLERANCE;
  if (current === wanted || isNear) return undefined;
  return `${spec.name} has ${current} replicas for ${load} connections, ${wanted} are right`;
}

/** How much longer a cluster takes to settle in which services are scaled. */
export function autoscaleAllowanceMs({ records }: CheckContext): number {
  const isAny = [...records.services.values()].some(({ spec }) => spec?.autoscale !== undefined);
  return isAny ? SCALED_MS : 0;
}
