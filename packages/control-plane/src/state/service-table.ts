import { type FileVersion, ownerNames, type Service, type ServiceSpec } from "@berth/proto";
import { fileKey, fileMounts } from "../core/files/file-mounts.js";
import { isBoundToNodes } from "../core/orchestrator/job-schedule.js";
import { GroupedMap } from "./grouped-map.js";
import { PortClaims } from "./port-claims.js";
import { ServiceVersions } from "./service-versions.js";

/** The services in the leader's memory, indexed for its lookups. */
export class ServiceTable {
  readonly ports = new PortClaims();
  readonly versions = new ServiceVersions();
  readonly #byId = new Map<string, Service>();
  readonly #idByName = new Map<string, string>();
  readonly #byStack = new ServiceIndex(({ stack }) => [stack]);
  readonly #byDependency = new ServiceIndex(({ dependsOn }) => dependsOn.map(({ service }) => service));
  readonly #byOwner = new ServiceIndex(ownerNames);
  readonly #byNetwork = new ServiceIndex((spec) => (spec.task?.networks ?? []).map(({ network }) => network));
  readonly #byFile = new ServiceIndex((spec) => fileMounts(spec).map(fileKey));
  readonly #byTrait = new ServiceIndex(traitsOf);
  readonly #indexes = [
    this.#byStack,
    this.#byDependency,
    this.#byOwner,
    this.#byNetwork,
    this.#byFile,
    this.#byTrait,
  ];

  get size(): number {
    return this.#byId.size;
  }

  get(serviceId: string): Service | undefined {
    return this.#byId.get(serviceId);
  }

  byName(name: string): Service | undefined {
    const id = this.#idByName.get(name);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  values(): IterableIterator<Service> {
    return this.#byId.values();
  }

  ofStack(stack: string): ReadonlyMap<string, Service> {
    return this.#byStack.get(stack);
  }

  /** Returns the IDs of global services and jobs. */
  globalServiceIds(): Iterable<string> {
    return this.#byTrait.get("global").keys();
  }

  /** Returns the services with autoscaling. */
  autoscaledServices(): Iterable<Service> {
    return this.#byTrait.get("autoscaled").values();
  }

  isAutoscaled(serviceId: string): boolean {
    return this.#byTrait.get("autoscaled").has(serviceId);
  }

  /** Returns the services that depend on the service with this name, whether or not that service exists. */
  dependentsOf(name: string): ReadonlyMap<string, Service> {
    return this.#byDependency.get(name);
  }

  /** Returns the companions of the service with this name, whether or not that service exists. */
  companionsOf(name: string): ReadonlyMap<string, Service> {
    return this.#byOwner.get(name);
  }

  /** Returns the services whose current spec attaches to the network with this name. */
  ofNetwork(name: string): ReadonlyMap<string, Service> {
    return this.#byNetwork.get(name);
  }

  /** Returns the services whose current spec mounts this secret or config, in any version. */
  ofFile(file: Pick<FileVersion, "kind" | "name">): ReadonlyMap<string, Service> {
    return this.#byFile.get(fileKey(file));
  }

  put(service: Service): void {
    this.delete(service.id);
    this.#byId.set(service.id, service);
    const { spec } = service;
    if (spec === undefined) return;
    this.#idByName.set(spec.name, service.id);
    for (const index of this.#indexes) index.add(service, spec);
    this.ports.add(service.id, spec);
  }

  delete(serviceId: string): void {
    const service = this.#byId.get(serviceId);
    if (service === undefined) return;
    this.#byId.delete(serviceId);
    const { spec } = service;
    if (spec === undefined) return;
    if (this.#idByName.get(spec.name) === serviceId) this.#idByName.delete(spec.name);
    for (const index of this.#indexes) index.delete(serviceId, spec);
    this.ports.remove(serviceId, spec);
  }
}

/** Indexes services by keys computed from their specs. */
class ServiceIndex {
  readonly #services = new GroupedMap<Service>();
  readonly #keysOf: (spec: ServiceSpec) => readonly string[];

  constructor(keysOf: (spec: ServiceSpec) => readonly string[]) {
    this.#keysOf = keysOf;
  }

  get(key: string): ReadonlyMap<string, Service> {
    return this.#services.get(key);
  }

  add(service: Service, spec: ServiceSpec): void {
    for (const key of this.#keysOf(spec)) this.#services.set(key, service.id, service);
  }

  /**
   * Removes a service.
   *
   * @param spec the spec with which it was added
   */
  delete(serviceId: string, spec: ServiceSpec): void {
    for (const key of this.#keysOf(spec)) this.#services.delete(key, serviceId);
  }
}

/** Properties by which the leader looks up services. */
type Trait = "global" | "autoscaled";

function traitsOf(spec: ServiceSpec): readonly Trait[] {
  const traits: Trait[] = [];
  if (isBoundToNodes(spec)) traits.push("global");
  if (spec.autoscale !== undefined) traits.push("autoscaled");
  return traits;
}
