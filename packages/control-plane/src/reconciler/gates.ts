import type { ReconcileContext, ServiceView } from "../core/model.js";
import {
  type DependencyLookup,
  decideGate,
  type Gate,
} from "../core/orchestrator/dependencies/dependencies.js";
import { dependencyState } from "../core/orchestrator/dependencies/dependency-state.js";
import type { Plan } from "../core/plan.js";
import type { ClusterState } from "../state/cluster-state.js";

/** Whether a service may start, by what is known of the services that it depends on. */
export function gateOf(view: ServiceView, state: ClusterState, now: number): Gate {
  return decideGate(view, lookupIn(state), now);
}

/** The plan of a service behind its gate: made anew when the gate is to be asked again. */
export function withGate(gate: Gate, decide: (held: Pick<ReconcileContext, "heldBy">) => Plan): Plan {
  if (gate.kind === "open") return decide({});
  const plan = decide({ heldBy: gate.heldBy });
  const requeueAtMs = Math.min(
    plan.requeueAtMs ?? Number.POSITIVE_INFINITY,
    gate.atMs ?? Number.POSITIVE_INFINITY,
  );
  const problems = [...plan.problems, gate.heldBy];
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
    const spec = service && (state.services.specOf(service.id, service.version) ?? service.spec);
    if (service === undefined || spec === undefined || service.removing) return undefined;
    const tasks = [...state.tasks.ofService(service.id).values()];
    return dependencyState({ service, spec, tasks }, state.nodes);
  };
}
