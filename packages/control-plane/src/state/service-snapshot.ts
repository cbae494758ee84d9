import type { Service, ServiceSpec, Task } from "@berth/proto";
import type { ServiceSnapshot } from "../core/model/snapshot.js";
import type { TaskIndex } from "../core/model/task-index.js";
import type { ClusterState } from "./cluster-state.js";

/**
 * Returns the snapshot on which a service is decided. Undefined when the service's record is gone or unreadable.
 *
 * The snapshot is live: do not keep it across an await or a change of the state.
 */
export function serviceSnapshot(state: ClusterState, serviceId: string): ServiceSnapshot | undefined {
  const service = state.services.get(serviceId);
  const spec = service && currentSpec(state, service);
  if (service === undefined || spec === undefined) return undefined;
  const index = state.tasks.taskIndex(serviceId);
  return new LiveServiceSnapshot({
    service,
    spec,
    index,
    revisions: state.services.versions.ofService(serviceId),
  });
}

/** Returns the spec of the service's current version. */
export function currentSpec(state: ClusterState, service: Service): ServiceSpec | undefined {
  return state.services.versions.specOf(service.id, service.version) ?? service.spec;
}

/** A snapshot that lists the tasks on first use. Most decisions about a large service read only the index. */
class LiveServiceSnapshot implements ServiceSnapshot {
  readonly service: Service;
  readonly spec: ServiceSpec;
  readonly index: TaskIndex;
  readonly revisions: ReadonlyMap<number, ServiceSpec>;
  #tasks: readonly Task[] | undefined;

  constructor({ service, spec, index, revisions }: Omit<ServiceSnapshot, "tasks">) {
    this.service = service;
    this.spec = spec;
    this.index = index;
    this.revisions = revisions;
  }

  get tasks(): readonly Task[] {
    this.#tasks ??= [...this.index.byId.values()];
    return this.#tasks;
  }
}
