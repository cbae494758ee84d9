import { type PortSpec, PortSpec_Mode, PortSpec_Protocol, type ServiceSpec, type Task } from "@berth/proto";
import type { Reservation } from "./model.js";
import { isEnded } from "./task-state.js";

/** What one task takes of its node while it occupies it. */
export interface Demand extends Reservation {
  /** Keys of its host-mode ports. Ports that Docker picks are not in it. */
  readonly hostPorts: readonly string[];
}

/**
 * Whether a task counts against its node. It does until its agent has said that it ended (or the node died):
 * asking it to stop frees nothing yet.
 */
export const occupies = (task: Task): boolean => task.nodeId !== "" && !isEnded(task);

/** What a task takes, by the spec of the version that it runs. */
export function demandOf(spec: ServiceSpec): Demand {
  return {
    nanoCpus: spec.task?.reservations?.nanoCpus ?? 0,
    memoryBytes: spec.task?.reservations?.memoryBytes ?? 0,
    hostPorts: spec.ports.filter((port) => isHostMode(port) && port.published !== 0).map(hostPortKey),
  };
}

export const isHostMode = (port: PortSpec): boolean => port.mode === PortSpec_Mode.HOST;

/** `tcp/<host_ip>/<published>`; the address is empty when the port is taken on all of them. */
export function hostPortKey(port: PortSpec): string {
  const protocol = port.protocol === PortSpec_Protocol.UDP ? "udp" : "tcp";
  const everywhere = port.hostIp === "0.0.0.0" || port.hostIp === "::";
  return `${protocol}/${everywhere ? "" : port.hostIp}/${port.published}`;
}

/** Whether two keys of `hostPortKey` cannot be on one host together. */
export function portsClash(a: string, b: string): boolean {
  const [protocolA, addressA, portA] = a.split("/");
  const [protocolB, addressB, portB] = b.split("/");
  if (protocolA !== protocolB || portA !== portB) return false;
  return addressA === addressB || addressA === "" || addressB === "";
}
