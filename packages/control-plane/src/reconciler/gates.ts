import type { Plan } from "../core/model/plan.js";
import type { ServiceSnapshot } from "../core/model/snapshot.js";
import {
  type DependencyGate,
  type DependencyLookup,
  dependencyGate,
  dependencyState,
} from "../core/orchestrator/dependencies.js";
import type { ClusterState } from "../state/cluster-state.js";
import { serviceSnapshot } from "../state/service-snapshot.js";

/** Returns whether the dependencies of a service let it start. */
export function evaluateGate(snapshot: ServiceSnapshot, state: ClusterState, now: number): DependencyGate {
  return dependencyGate(snapshot, createLookup(state, now), now);
}

/** Plans a service with the hold reason of its gate. A closed gate requeues the plan at the deadline of the dependencies. */
export function planWithGate(gate: DependencyGate, decide: (holdReason: string) => Plan): Plan {
  if (gate.kind === "open") return decide("");
  const plan = decide(gate.holdReason);
  const requeueAtMs = Math.min(
    plan.requeueAtMs ?? Number.POSITIVE_INFINITY,
    gate.dueMs ?? Number.POSITIVE_INFINITY,
  );
  const problems = [...plan.problems, gate.holdReason];
  return requeueAtMs === Number.POSITIVE_INFINITY
    ? { ...plan, problems }
    : { ...plan, problems, requeueAtMs };
}

/** Returns the services that depend on this one and have tasks without a node. */
export function dependentsWaitingFor(serviceId: string, state: ClusterState): readonly string[] {
  const name = state.services.get(serviceId)?.spec?.name;
  if (name === undefined) return [];
  return [...state.services.dependentsOf(name).keys()].filter((id) => state.tasks.hasUnplaced(id));
}

function createLookup(state: ClusterState, now: number): DependencyLookup {
  return (name) => {
    const service = state.services.byName(name);
    if (service === undefined || service.removing) return undefined;
    const snapshot = serviceSnapshot(state, service.id);
    return snapshot && dependencyState(snapshot, state.nodes, now);
  };
}
