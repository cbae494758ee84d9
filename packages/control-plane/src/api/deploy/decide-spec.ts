import {
  ServiceOutcome_Kind as Kind,
  type Service,
  type ServiceOutcome,
  type ServiceSpec,
} from "@berth/proto";
import { applySpec } from "../../core/orchestrator/apply-spec.js";
import { findSpecsInUse } from "../../core/orchestrator/rollback.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";

/** Number of earlier versions to keep for rollbacks and inspection. */
const KEPT_VERSIONS = 10;

export interface ServiceDecision {
  readonly changes: readonly Change[];
  readonly outcome: ServiceOutcome;
}

/**
 * Returns the changes that give a service a new spec. The revision and the name are written first, and the service
 * record last. If the leader changes between two transactions, a repeated request writes the missing records.
 */
export function decideSpec(
  state: ClusterState,
  spec: ServiceSpec,
  {
    id,
    now,
    rollbackMessage,
  }: { readonly id: string; readonly now: number; readonly rollbackMessage?: string },
): ServiceDecision {
  const specsInUse = findSpecsInUse(state.tasks.ofService(id).values(), (version) =>
    state.services.versions.specOf(id, version),
  );
  const result = applySpec(state.services.get(id), spec, {
    id,
    now,
    specsInUse,
    ...(rollbackMessage ? { rollbackMessage } : {}),
  });
  const { service } = result;
  if (result.kind === "unchanged") return { changes: [], outcome: serviceOutcome(service, Kind.UNCHANGED) };
  const changes: Change[] = [
    { kind: "put-revision", serviceId: id, version: service.version, spec },
    ...(state.serviceIdOf(spec.name) === id
      ? []
      : [{ kind: "put-name", name: spec.name, serviceId: id } as const]),
    { kind: "put-service", service },
    ...unusedRevisionDeletions(state, service),
  ];
  return {
    changes,
    outcome: serviceOutcome(service, result.kind === "created" ? Kind.CREATED : Kind.UPDATED),
  };
}

/** Returns the change that marks a service for removal. The controller removes its tasks and records. */
export function decideRemoval(service: Service, now: number): ServiceDecision {
  const outcome = serviceOutcome(service, Kind.REMOVED);
  if (service.removing) return { changes: [], outcome };
  return {
    changes: [{ kind: "put-service", service: { ...service, removing: true, updatedAtMs: now } }],
    outcome,
  };
}

/** Returns the changes that delete old revisions which no task runs and no automatic rollback would restore. */
function unusedRevisionDeletions(state: ClusterState, service: Service): readonly Change[] {
  const oldest = service.version - KEPT_VERSIONS;
  const oldVersions = [...state.services.versions.ofService(service.id).keys()].filter(
    (version) => version < oldest,
  );
  if (oldVersions.length === 0) return [];
  const used = new Set<number>([service.healthyVersion]);
  for (const task of state.tasks.ofService(service.id).values()) used.add(task.specVersion);
  return oldVersions
    .filter((version) => !used.has(version))
    .map((version) => ({ kind: "delete-revision", serviceId: service.id, version }));
}

function serviceOutcome(service: Service, kind: Kind): ServiceOutcome {
  return { serviceId: service.id, name: service.spec?.name ?? "", kind, version: service.version };
}
