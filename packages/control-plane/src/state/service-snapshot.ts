import { ownerNames, type Service, type ServiceSpec, type Task } from "@berth/proto";
import type { OwnerService, ServiceSnapshot } from "../core/model/snapshot.js";
import type { TaskIndex } from "../core/model/task-index.js";
import type { ClusterState } from "./cluster-state.js";

/**
 * Returns the snapshot for decisions about a service, or undefined if the service's record is deleted or unreadable.
 *
 * The snapshot is live: do not keep it across an await or a change of the state.
 */
export function serviceSnapshot(state: ClusterState, serviceId: string): ServiceSnapshot | undefined {
  const service = state.services.get(serviceId);
  const spec = service && currentSpec(state, service);
  if (service === undefined || spec === undefined) return undefined;
  const index = state.tasks.taskIndex(serviceId);
  return new LiveServiceSnapshot(
    { service, spec, index, revisions: state.services.versions.ofService(serviceId) },
    state,
  );
}

/** Returns an owner. Its snapshot is created on first use, so that a cycle of owners has no effect. */
function findOwner(state: ClusterState, name: string): OwnerService {
  return {
    name,
    get snapshot() {
      const service = state.services.byName(name);
      return service && serviceSnapshot(state, service.id);
    },
  };
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
  readonly owners?: readonly OwnerService[];
  readonly companions?: readonly ServiceSpec[];
  #tasks: readonly Task[] | undefined;

  constructor(
    { service, spec, index, revisions }: Pick<ServiceSnapshot, "service" | "spec" | "index" | "revisions">,
    state: ClusterState,
  ) {
    this.service = service;
    this.spec = spec;
    this.index = index;
    this.revisions = revisions;
    const owners = ownerNames(spec).map((name) => findOwner(state, name));
    if (owners.length > 0) this.owners = owners;
    const companions = [...state.services.companionsOf(spec.name).values()].flatMap(
      (companion) => companion.spec ?? [],
    );
    if (companions.length > 0) this.companions = companions;
  }

  get tasks(): readonly Task[] {
    this.#tasks ??= [...this.index.byId.values()];
    return this.#tasks;
  }
}
