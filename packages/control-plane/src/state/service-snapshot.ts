import type { Service, ServiceSpec } from "@berth/proto";
import type { ServiceSnapshot } from "../core/model/snapshot.js";
import type { ClusterState } from "./cluster-state.js";

/** Returns a service with everything that a decision about it reads; undefined when its record is gone or unreadable. */
export function serviceSnapshot(state: ClusterState, serviceId: string): ServiceSnapshot | undefined {
  const service = state.services.get(serviceId);
  const spec = service && currentSpec(state, service);
  if (service === undefined || spec === undefined) return undefined;
  const index = state.tasks.indexOf(serviceId);
  const revisions = state.services.versionsOf(serviceId);
  return { service, spec, tasks: [...index.byId.values()], index, revisions };
}

/** Returns the spec of the service's current version. */
export function currentSpec(state: ClusterState, service: Service): ServiceSpec | undefined {
  return state.services.specOf(service.id, service.version) ?? service.spec;
}
