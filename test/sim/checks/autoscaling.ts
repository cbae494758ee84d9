import type { Service } from "@berth/proto";
import type { CheckContext } from "./check-context.js";
import type { RecordChange } from "./records.js";
import { replicasOf } from "./task-counts.js";

/**
 * Time after which a service must be scaled. Allows for several scaling decisions, which are five seconds apart, and
 * their windows.
 */
const SCALED_MS = 35_000;
/** Maximum relative deviation from the target that causes no scaling. */
const TOLERANCE = 0.1;

/** A1: a service has as many replicas as its load requires, within its bounds. */
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
      // The bounds may have changed after the decision.
      if (replicas >= min && replicas <= max) continue;
      this.#context.report("A1", `${after.spec.name} is scaled to ${replicas}, not within ${min} to ${max}`);
    }
  }
}

/** Returns how the replica count differs from what the load requires, or undefined if it does not. */
export function unmetLoad(service: Service, { cluster }: CheckContext): string | undefined {
  const { spec } = service;
  if (spec?.autoscale === undefined) return undefined;
  const { min, max, targetConnections } = spec.autoscale;
  const load = cluster.world.loads.get(spec.name) ?? 0;
  const current = replicasOf(service);
  const wanted = Math.min(Math.max(Math.ceil(load / targetConnections), min), max);
  const isNear = Math.abs(load / current / targetConnections - 1) <= TOLERANCE;
  if (current === wanted || isNear) return undefined;
  return `${spec.name} has ${current} replicas for ${load} connections, expected ${wanted}`;
}

/** Returns the additional time to converge if services scale with their load. */
export function autoscaleAllowanceMs({ records }: CheckContext): number {
  const isAny = [...records.services.values()].some(({ spec }) => spec?.autoscale !== undefined);
  return isAny ? SCALED_MS : 0;
}
