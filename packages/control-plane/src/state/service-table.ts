import { type PortSpec, PortSpec_Protocol, type Service, type ServiceSpec } from "@berth/proto";
import type { PortClaim } from "../core/endpoints/published-ports.js";
import { isBoundToNodes } from "../core/orchestrator/job-schedule.js";
import { GroupedMap } from "./grouped-map.js";

/** Identifies one version of a service. */
export interface ServiceVersion {
  readonly serviceId: string;
  readonly version: number;
}

/** The services in the leader's memory with the specs of their versions, indexed for its look-ups. */
export class ServiceTable {
  readonly ports = new PortClaims();
  readonly #byId = new Map<string, Service>();
  readonly #idByName = new Map<string, string>();
  readonly #byStack = new GroupedMap<Service>();
  readonly #global = new Set<string>();
  readonly #autoscaled = new Map<string, Service>();
  readonly #byDependency = new GroupedMap<Service>();
  readonly #byNetwork = new GroupedMap<Service>();
  readonly #specs = new Map<string, Map<number, ServiceSpec>>();
  readonly #byStaticAddress = new GroupedMap<ServiceVersion>();

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

  /** Returns the ids of global services and jobs. */
  globalServices(): IterableIterator<string> {
    return this.#global.values();
  }

  /** Returns the services with autoscaling. */
  autoscaled(): IterableIterator<Service> {
    return this.#autoscaled.values();
  }

  isAutoscaled(serviceId: string): boolean {
    return this.#autoscaled.has(serviceId);
  }

  /** Returns the services that depend on the service with this name, whether or not that service exists. */
  dependentsOf(name: string): ReadonlyMap<string, Service> {
    return this.#byDependency.get(name);
  }

  /** Returns the services whose current spec attaches to the network with this name. */
  ofNetwork(name: string): ReadonlyMap<string, Service> {
    return this.#byNetwork.get(name);
  }

  /** Returns the spec of a version; undefined when its record is gone or unreadable. */
  specOf(serviceId: string, version: number): ServiceSpec | undefined {
    return this.#specs.get(serviceId)?.get(version);
  }

  /** Returns the specs of all stored versions by version. */
  versionsOf(serviceId: string): ReadonlyMap<number, ServiceSpec> {
    return this.#specs.get(serviceId) ?? new Map();
  }

  /** Returns the stored versions with this static address in the network, including those of removed services. */
  withStaticAddress(network: string, address: string): Iterable<ServiceVersion> {
    return this.#byStaticAddress.get(addressKey(network, address)).values();
  }

  put(service: Service): void {
    this.delete(service.id);
    this.#byId.set(service.id, service);
    const { spec } = service;
    if (spec === undefined) return;
    this.#idByName.set(spec.name, service.id);
    this.#byStack.set(spec.stack, service.id, service);
    if (isBoundToNodes(spec)) this.#global.add(service.id);
    if (spec.autoscale !== undefined) this.#autoscaled.set(service.id, service);
    for (const { service: name } of spec.dependsOn) this.#byDependency.set(name, service.id, service);
    for (const { network } of spec.task?.networks ?? []) this.#byNetwork.set(network, service.id, service);
    this.ports.add(service.id, spec);
  }

  delete(serviceId: string): void {
    const service = this.#byId.get(serviceId);
    if (service === undefined) return;
    this.#byId.delete(serviceId);
    this.#global.delete(serviceId);
    this.#autoscaled.delete(serviceId);
    const { spec } = service;
    if (spec === undefined) return;
    if (this.#idByName.get(spec.name) === serviceId) this.#idByName.delete(spec.name);
    this.#byStack.delete(spec.stack, serviceId);
    for (const { service: name } of spec.dependsOn) this.#byDependency.delete(name, serviceId);
    for (const { network } of spec.task?.networks ?? []) this.#byNetwork.delete(network, serviceId);
    this.ports.remove(serviceId, spec);
  }

  putSpec(serviceId: string, version: number, spec: ServiceSpec): void {
    this.deleteSpec(serviceId, version);
    const specs = this.#specs.get(serviceId);
    if (specs === undefined) this.#specs.set(serviceId, new Map([[version, spec]]));
    else specs.set(version, spec);
    for (const key of addressKeys(spec)) {
      this.#byStaticAddress.set(key, `${serviceId}/${version}`, { serviceId, version });
    }
  }

  deleteSpec(serviceId: string, version: number): void {
    const specs = this.#specs.get(serviceId);
    const spec = specs?.get(version);
    if (spec === undefined) return;
    for (const key of addressKeys(spec)) this.#byStaticAddress.delete(key, `${serviceId}/${version}`);
    specs?.delete(version);
    if (specs?.size === 0) this.#specs.delete(serviceId);
  }
}

const addressKey = (network: string, address: string): string => `${network}/${address}`;

function addressKeys(spec: ServiceSpec): readonly string[] {
  const attachments = spec.task?.networks ?? [];
  return attachments.flatMap(({ network, ipv4Address }) =>
    ipv4Address === "" ? [] : [addressKey(network, ipv4Address)],
  );
}

/** Indexes the published ports of all services. Conflicts within one service are found by the validation of its spec. */
export class PortClaims {
  readonly #claims = new GroupedMap<readonly PortClaim[]>();

  add(serviceId: string, spec: ServiceSpec): void {
    for (const port of spec.ports) {
      if (port.published === 0) continue;
      const key = portKey(port);
      const claim = { serviceId, serviceName: spec.name, port };
      this.#claims.set(key, serviceId, [...(this.#claims.get(key).get(serviceId) ?? []), claim]);
    }
  }

  remove(serviceId: string, spec: ServiceSpec): void {
    for (const port of spec.ports) this.#claims.delete(portKey(port), serviceId);
  }

  /** Returns the claims on a protocol and port number, for all addresses and modes. */
  claimsOn(protocol: PortSpec_Protocol, published: number): readonly PortClaim[] {
    return [...this.#claims.get(claimKey(protocol, published)).values()].flat();
  }
}

function portKey(port: PortSpec): string {
  return claimKey(port.protocol, port.published);
}

function claimKey(protocol: PortSpec_Protocol, published: number): string {
  return `${protocol === PortSpec_Protocol.UDP ? "udp" : "tcp"}/${published}`;
}
