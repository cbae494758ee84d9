import { NetworkMode, type PortSpec, PortSpec_Mode, PortSpec_Protocol } from "@berth/proto";
import type { CreateBody, HostConfigBody, PortBindingBody } from "../docker/create-body.js";

export interface PortConfig {
  readonly exposed: NonNullable<CreateBody["ExposedPorts"]>;
  readonly bindings: NonNullable<HostConfigBody["PortBindings"]>;
}

/**
 * Ingress ports: the target is published once, on the advertised address and a port that Docker picks; the ingress
 * of every host forwards there. Host ports: published by Docker as the spec says. A container on the host's own
 * network, or on none, publishes nothing.
 */
export function portConfig(
  ports: readonly PortSpec[],
  networkMode: NetworkMode,
  advertise: string,
): PortConfig {
  const bindings: Record<string, PortBindingBody[]> = {};
  if (networkMode === NetworkMode.HOST || networkMode === NetworkMode.NONE) return { exposed: {}, bindings };
  for (const port of ports) {
    const key = portKey(port.target, port.protocol);
    const list = bindings[key] ?? [];
    bindings[key] = list;
    const binding = bindingOf(port, advertise);
    const known = list.some(
      (other) => other.HostIp === binding.HostIp && other.HostPort === binding.HostPort,
    );
    if (!known) list.push(binding);
  }
  return { exposed: Object.fromEntries(Object.keys(bindings).map((key) => [key, {}])), bindings };
}

/** Docker's name of a container's port: "8080/tcp". */
export function portKey(target: number, protocol: PortSpec_Protocol): string {
  return `${target}/${protocol === PortSpec_Protocol.UDP ? "udp" : "tcp"}`;
}

function bindingOf(port: PortSpec, advertise: string): PortBindingBody {
  if (port.mode !== PortSpec_Mode.HOST) return { HostIp: advertise, HostPort: "" };
  return { HostIp: port.hostIp, HostPort: port.published === 0 ? "" : String(port.published) };
}
