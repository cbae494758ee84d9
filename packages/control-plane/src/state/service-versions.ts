import type { ServiceSpec } from "@berth/proto";
import { fileMounts } from "../core/files/file-mounts.js";
import { contentIds } from "../core/images/content-ids.js";
import { GroupedMap } from "./grouped-map.js";

/** Identifies one version of a service. */
export interface ServiceVersion {
  readonly serviceId: string;
  readonly version: number;
}

/** The specs of the stored versions of all services in the leader's memory, including those of removed services. */
export class ServiceVersions {
  readonly #specs = new Map<string, Map<number, ServiceSpec>>();
  readonly #byStaticAddress = new GroupedMap<ServiceVersion>();
  readonly #byFile = new GroupedMap<ServiceVersion>();
  readonly #byContent = new GroupedMap<ServiceVersion>();

  /** Returns the spec of a version, or undefined if its record is gone or unreadable. */
  specOf(serviceId: string, version: number): ServiceSpec | undefined {
    return this.#specs.get(serviceId)?.get(version);
  }

  /** Returns the specs of all stored versions of a service, by version. */
  ofService(serviceId: string): ReadonlyMap<number, ServiceSpec> {
    return this.#specs.get(serviceId) ?? new Map();
  }

  /** Returns the versions with this static address in the network. */
  withStaticAddress(network: string, address: string): Iterable<ServiceVersion> {
    return this.#byStaticAddress.get(addressKey(network, address)).values();
  }

  /** Returns the versions whose spec mounts this version of a secret or config. */
  withFile(fileId: string): ReadonlyMap<string, ServiceVersion> {
    return this.#byFile.get(fileId);
  }

  /** Returns the versions that use an image or a shipped mount, which the cluster distributes without a registry. */
  withContent(id: string): ReadonlyMap<string, ServiceVersion> {
    return this.#byContent.get(id);
  }

  /** Returns the IDs of all images without a registry and of all shipped mounts that a version uses. */
  contentIds(): readonly string[] {
    return [...this.#byContent.groups()];
  }

  put(serviceId: string, version: number, spec: ServiceSpec): void {
    this.delete(serviceId, version);
    const specs = this.#specs.get(serviceId);
    if (specs === undefined) {
      this.#specs.set(serviceId, new Map([[version, spec]]));
    } else {
      specs.set(version, spec);
    }
    for (const key of addressKeys(spec)) {
      this.#byStaticAddress.set(key, `${serviceId}/${version}`, { serviceId, version });
    }
    for (const { versionId } of fileMounts(spec)) {
      this.#byFile.set(versionId, `${serviceId}/${version}`, { serviceId, version });
    }
    for (const id of contentIds(spec)) {
      this.#byContent.set(id, `${serviceId}/${version}`, { serviceId, version });
    }
  }

  delete(serviceId: string, version: number): void {
    const specs = this.#specs.get(serviceId);
    const spec = specs?.get(version);
    if (spec === undefined) return;
    for (const key of addressKeys(spec)) this.#byStaticAddress.delete(key, `${serviceId}/${version}`);
    for (const { versionId } of fileMounts(spec)) this.#byFile.delete(versionId, `${serviceId}/${version}`);
    for (const id of contentIds(spec)) this.#byContent.delete(id, `${serviceId}/${version}`);
    specs?.delete(version);
    if (specs?.size === 0) this.#specs.delete(serviceId);
  }
}

function addressKey(network: string, address: string): string {
  return `${network}/${address}`;
}

function addressKeys(spec: ServiceSpec): readonly string[] {
  const attachments = spec.task?.networks ?? [];
  return attachments.flatMap(({ network, ipv4Address }) =>
    ipv4Address === "" ? [] : [addressKey(network, ipv4Address)],
  );
}
