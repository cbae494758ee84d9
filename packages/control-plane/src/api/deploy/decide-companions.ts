import {
  BerthError,
  ownerCycleViolations,
  ownerNames,
  ownerViolations,
  type Service,
  type ServiceSpec,
} from "@berth/proto";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { decideSpec } from "./decide-spec.js";
import { violationsError } from "./violations.js";

// Companions are services whose tasks run beside the tasks of other services of the stack, their owners.

export interface OwnerCheck {
  readonly state: ClusterState;
  /** First part of the error message, such as `stack shop was not deployed`. */
  readonly errorPrefix: string;
  /** IDs of the services that the same request removes. Default: none. */
  readonly removed?: readonly string[];
}

/**
 * Checks the owners and companions of services that are created or changed.
 *
 * @throws BerthError BERTH_SPEC_INVALID with every violation
 */
export function requireOwners(specs: readonly ServiceSpec[], check: OwnerCheck): void {
  const { state, errorPrefix, removed = [] } = check;
  const changed = new Map(specs.map((spec) => [spec.name, spec]));
  const isKept = (service: Service): boolean => !service.removing && !removed.includes(service.id);
  const companions = specs.flatMap(({ name }) =>
    [...state.services.companionsOf(name).values()].filter(isKept).flatMap(({ spec }) => spec ?? []),
  );
  const checked = new Map(
    [...companions, ...specs].map((spec) => [spec.name, changed.get(spec.name) ?? spec]),
  );
  const violations = [...checked.values()].flatMap((spec) => {
    const lookup = (name: string): ServiceSpec | undefined => {
      const service = state.services.byName(name);
      const ownerSpec = changed.get(name) ?? (service && isKept(service) ? service.spec : undefined);
      return ownerSpec?.stack === spec.stack ? ownerSpec : undefined;
    };
    const problems = [...ownerViolations(spec, lookup), ...ownerCycleViolations(spec, lookup)];
    return problems.map((violation) => ({ service: spec.name, ...violation }));
  });
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", errorPrefix, violations);
}

/** Returns the specs of the companions that must change with the number of replicas of their owners. */
export function followingCompanions(
  owners: readonly ServiceSpec[],
  state: ClusterState,
): readonly ServiceSpec[] {
  const changed = new Map(owners.map((spec) => [spec.name, spec]));
  const queue = [...owners];
  for (let owner = queue.shift(); owner !== undefined; owner = queue.shift()) {
    for (const { spec, removing } of state.services.companionsOf(owner.name).values()) {
      if (spec === undefined || removing || changed.has(spec.name)) continue;
      const following = withReplicasOf(spec, owner);
      if (following === spec) continue;
      changed.set(spec.name, following);
      queue.push(following);
    }
  }
  return [...changed.values()].slice(owners.length);
}

/** Returns the changes that store the specs of companions. */
export function decideCompanions(
  companions: readonly ServiceSpec[],
  state: ClusterState,
  nowMs: number,
): readonly Change[] {
  return companions.flatMap((spec) => {
    const id = state.services.byName(spec.name)?.id;
    return id === undefined ? [] : decideSpec(state, spec, { id, nowMs }).changes;
  });
}

/** Returns a restored companion spec with the current number of replicas of its owner. */
export function withCurrentReplicas(spec: ServiceSpec, state: ClusterState): ServiceSpec {
  const [name = ""] = ownerNames(spec);
  const owner = state.services.byName(name)?.spec;
  return owner === undefined ? spec : withReplicasOf(spec, owner);
}

function withReplicasOf(spec: ServiceSpec, { mode }: ServiceSpec): ServiceSpec {
  if (spec.mode?.$case !== "replicated" || mode?.$case !== "replicated") return spec;
  return spec.mode.value.replicas === mode.value.replicas ? spec : { ...spec, mode };
}

/**
 * Checks that no service is removed without its companions, whose tasks share namespaces and mounts with its tasks.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
export function requireCompanionsRemoved(removed: readonly Service[], state: ClusterState): void {
  const ids = new Set(removed.map(({ id }) => id));
  const problems = removed.flatMap(({ spec }) => {
    const companions = [...state.services.companionsOf(spec?.name ?? "").values()];
    const left = companions.filter((companion) => !companion.removing && !ids.has(companion.id));
    return left.map((companion) => `${companion.spec?.name ?? companion.id} runs beside ${spec?.name ?? ""}`);
  });
  if (problems.length === 0) return;
  const message = `no service was removed: ${problems.join(", ")}; remove these services too`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
