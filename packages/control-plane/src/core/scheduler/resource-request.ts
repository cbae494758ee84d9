import {
  type HostListener,
  type PortSpec,
  PortSpec_Mode,
  PortSpec_Protocol,
  type ServiceSpec,
  type Task,
} from "@berth/proto";
import type { Reservation } from "../model/snapshot.js";
import { isEnded } from "../model/task-state.js";

/** What one task takes of its node while it occupies it. */
export interface ResourceRequest extends Reservation {
  /** Keys of its host-mode ports. Ports that Docker picks are not in it. */
  readonly hostPorts: readonly string[];
}

/**
 * Whether a task counts against its node. It does until its agent has said that it ended (or the node died):
 * asking it to stop frees nothing yet.
 */
export const occupiesNode = (task: Task): boolean => task.nodeId !== "" && !isEnded(task);

/** What a task takes, by the spec of the version that it runs. */
export function resourceRequestOf(spec: ServiceSpec): ResourceRequest {
  const reserved = spec.task?.reservations;
  return {
    nanoCpus: reserved?.nanoCpus ?? 0,
    memoryBytes: reserved?.memoryBytes ?? 0,
    pids: reserved?.pids ?? 0,
    generic: new Map(Object.entries(reserved?.generic ?? {}).filter(([, count]) => count > 0)),
    hostPorts: spec.ports.filter((port) => isHostMode(port) && port.published !== 0).map(hostPortKey),
    networks: new Map((spec.task?.networks ?? []).map(({ network }) => [network, 1])),
  };
}

export const isHostMode = (port: PortSpec): boolean => port.mode === PortSpec_Mode.HOST;

/** `tcp/<host_ip>/<published>`; the address is empty when the port is taken on all of them. */
export const hostPortKey = (port: PortSpec): string =>
  listenerKey({ protocol: port.protocol, address: port.hostIp, port: port.published });

/** The same for a port that some other program of a host listens on. */
export function listenerKey({ protocol, address, port }: HostListener): string {
  const everywhere = address === "0.0.0.0" || address === "::";
  return `${protocol === PortSpec_Protocol.UDP ? "udp" : "tcp"}/${everywhere ? "" : address}/${port}`;
}

/** Whether two keys of `hostPortKey` cannot be on one host together. */
export function portsClash(a: string, b: string): boolean {
  const [protocolA, addressA, portA] = a.split("/");
  const [protocolB, addressB, portB] = b.split("/");
  if (protocolA !== protocolB || portA !== portB) return false;
  return addressA === addressB || addressA === "" || addressB === "";
}
