import { type Service, type ServiceOutcome, ServiceOutcome_Kind, type ServiceSpec } from "@berth/proto";
import { applySpec } from "../../core/orchestrator/apply-spec.js";
import { failedVersion } from "../../core/orchestrator/rollback.js";
import { findSpecsInUse } from "../../core/orchestrator/specs-in-use.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";

/** Number of earlier versions to keep for inspection, besides those that rollbacks and tasks use. */
const MAX_EARLIER_VERSIONS = 10;

export interface SpecDecisionContext {
  readonly id: string;
  readonly nowMs: number;
  /** The message of a rollback. Undefined for another change. */
  readonly rollbackMessage?: string | undefined;
}

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
  { id, nowMs, rollbackMessage }: SpecDecisionContext,
): ServiceDecision {
  const specsInUse = findSpecsInUse(state.tasks.ofService(id).values(), (version) =>
    state.services.versions.specOf(id, version),
  );
  const result = applySpec(state.services.get(id), spec, { id, nowMs, specsInUse, rollbackMessage });
  const { service } = result;
  if (result.kind === "unchanged") {
    return { changes: [], outcome: serviceOutcome(service, ServiceOutcome_Kind.UNCHANGED) };
  }
  const changes: Change[] = [{ kind: "put-revision", serviceId: id, version: service.version, spec }];
  if (state.serviceIdOf(spec.name) !== id) changes.push({ kind: "put-name", name: spec.name, serviceId: id });
  changes.push({ kind: "put-service", service }, ...unusedRevisionDeletions(state, service));
  const outcomeKind = result.kind === "created" ? ServiceOutcome_Kind.CREATED : ServiceOutcome_Kind.UPDATED;
  return { changes, outcome: serviceOutcome(service, outcomeKind) };
}

/** Returns the change that marks a service for removal. The controller removes its tasks and records. */
export function decideRemoval(service: Service, nowMs: number): ServiceDecision {
  const outcome = serviceOutcome(service, ServiceOutcome_Kind.REMOVED);
  if (service.removing) return { changes: [], outcome };
  return {
    changes: [{ kind: "put-service", service: { ...service, removing: true, updatedAtMs: nowMs } }],
    outcome,
  };
}

/** Returns the changes that delete old revisions which no task runs and no rollback needs. */
function unusedRevisionDeletions(state: ClusterState, service: Service): readonly Change[] {
  const oldestKept = service.version - MAX_EARLIER_VERSIONS;
  const oldVersions = [...state.services.versions.ofService(service.id).keys()].filter(
    (version) => version < oldestKept,
  );
  if (oldVersions.length === 0) return [];
  const used = new Set([service.healthyVersion, ...service.earlierHealthyVersions, failedVersion(service)]);
  for (const task of state.tasks.ofService(service.id).values()) used.add(task.specVersion);
  return oldVersions
    .filter((version) => !used.has(version))
    .map((version) => ({ kind: "delete-revision", serviceId: service.id, version }));
}

function serviceOutcome(service: Service, kind: ServiceOutcome_Kind): ServiceOutcome {
  return { serviceId: service.id, name: service.spec?.name ?? "", kind, version: service.version };
}
