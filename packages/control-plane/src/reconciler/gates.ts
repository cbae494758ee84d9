import type { Plan } from "../core/model/plan.js";
import type { ServiceSnapshot } from "../core/model/snapshot.js";
import { dependencyState } from "../core/orchestrator/dependencies/dependency-state.js";
import { type DependencyLookup, decideGate, type Gate } from "../core/orchestrator/dependencies.js";
import type { ClusterState } from "../state/cluster-state.js";
import { serviceSnapshot } from "../state/service-snapshot.js";

/** Whether a service may start, by what is known of the services that it depends on. */
export function gateOf(view: ServiceSnapshot, state: ClusterState, now: number): Gate {
  return decideGate(view, lookupIn(state), now);
}

/** The plan of a service behind its gate: made anew when the gate is to be asked again. */
export function withGate(gate: Gate, decide: (holdReason: string) => Plan): Plan {
  if (gate.kind === "open") return decide("");
  const plan = decide(gate.holdReason);
  const requeueAtMs = Math.min(
    plan.requeueAtMs ?? Number.POSITIVE_INFINITY,
    gate.atMs ?? Number.POSITIVE_INFINITY,
  );
  const problems = [...plan.problems, gate.holdReason];
  return requeueAtMs === Number.POSITIVE_INFINITY
    ? { ...plan, problems }
    : { ...plan, problems, requeueAtMs };
}

/** Services that a change of this one may let start: those that name it and have tasks that wait. */
export function dependentsWaitingFor(serviceId: string, state: ClusterState): readonly string[] {
  const name = state.services.get(serviceId)?.spec?.name;
  if (name === undefined) return [];
  return [...state.services.dependentsOf(name).keys()].filter((id) => state.tasks.isUnplaced(id));
}

function lookupIn(state: ClusterState): DependencyLookup {
  return (name) => {
    const service = state.services.byName(name);
    if (service === undefined || service.removing) return undefined;
    const snapshot = serviceSnapshot(state, service.id);
    return snapshot && dependencyState(snapshot, state.nodes);
  };
}
