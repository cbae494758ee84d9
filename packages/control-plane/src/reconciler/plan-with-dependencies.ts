import type { Service } from "@berth/proto";
import { earliestMs, type Plan } from "../core/model/plan.js";
import type { ServiceSnapshot } from "../core/model/snapshot.js";
import {
  type DependencyLookup,
  type DependencyWait,
  dependencyState,
  dependencyWait,
} from "../core/orchestrator/dependencies.js";
import { planDependencyRestart, restartsWith } from "../core/orchestrator/dependency-restart.js";
import type { ClusterState } from "../state/cluster-state.js";
import { serviceSnapshot } from "../state/service-snapshot.js";

/**
 * Plans a service according to the states of its dependencies: restarts it, or calls `decide` with the reason why its
 * first tasks must wait; the reason is empty when they may start.
 */
export function planWithDependencies(
  snapshot: ServiceSnapshot,
  { state, nowMs }: { readonly state: ClusterState; readonly nowMs: number },
  decide: (holdReason: string) => Plan,
): Plan {
  const stateOf = createLookup(state, nowMs);
  const serviceNamed = (name: string): Service | undefined => state.services.byName(name);
  const restart = planDependencyRestart(snapshot, { serviceNamed, stateOf, nowMs });
  return restart ?? planWithWait(dependencyWait(snapshot, stateOf, nowMs), decide);
}

/** Returns the plan of a service. While it waits for dependencies, the plan is reviewed at their deadline. */
function planWithWait(wait: DependencyWait, decide: (holdReason: string) => Plan): Plan {
  if (wait.kind === "ready") return decide("");
  const plan = decide(wait.reason);
  const problems = [...plan.problems, wait.reason];
  return { ...plan, problems, requeueAtMs: earliestMs([plan.requeueAtMs, wait.deadlineMs]) };
}

/** Returns the services that depend on this one, and that have tasks without a node or are restarted with it. */
export function dependentsWaitingFor(serviceId: string, state: ClusterState): readonly string[] {
  const name = state.services.get(serviceId)?.spec?.name;
  if (name === undefined) return [];
  return [...state.services.dependentsOf(name)].flatMap(([id, { spec }]) => {
    const isRestarted = spec !== undefined && restartsWith(spec, name);
    return isRestarted || state.tasks.hasUnplaced(id) ? [id] : [];
  });
}

/** Returns the companions of a service, whose tasks run beside its tasks. */
export function companionsOf(serviceId: string, state: ClusterState): readonly string[] {
  const name = state.services.get(serviceId)?.spec?.name;
  return name === undefined ? [] : [...state.services.companionsOf(name).keys()];
}

function createLookup(state: ClusterState, nowMs: number): DependencyLookup {
  return (name) => {
    const service = state.services.byName(name);
    if (service === undefined || service.removing) return undefined;
    const snapshot = serviceSnapshot(state, service.id);
    return snapshot && dependencyState(snapshot, state.nodes, nowMs);
  };
}
