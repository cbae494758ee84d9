import { type PortSpec, PortSpec_Protocol, type ServiceSpec } from "@berth/proto";
import type { PortClaim } from "../core/endpoints/published-ports.js";
import { GroupedMap } from "./grouped-map.js";

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
