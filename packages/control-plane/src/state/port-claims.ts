import { type PortSpec, PortSpec_Protocol, type ServiceSpec } from "@berth/proto";
import type { PortClaim } from "../core/endpoints/published-ports.js";
import { Grouped } from "./grouped.js";

/** Which service publishes which port. One service cannot clash with itself: that is the spec's own validity. */
export class PortClaims {
  readonly #claims = new Grouped<readonly PortClaim[]>();

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

  /** Claims on the same protocol and port number, whatever their address and mode. */
  on(protocol: PortSpec_Protocol, published: number): readonly PortClaim[] {
    return [...this.#claims.get(claimKey(protocol, published)).values()].flat();
  }
}

function portKey(port: PortSpec): string {
  return claimKey(port.protocol, port.published);
}

function claimKey(protocol: PortSpec_Protocol, published: number): string {
  return `${protocol === PortSpec_Protocol.UDP ? "udp" : "tcp"}/${published}`;
}
