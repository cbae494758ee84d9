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

/** The resources that one task reserves on its node. */
export interface ResourceRequest extends Reservation {
  /** Keys of the task's host-mode ports (see `hostPortKey`). Ports that Docker picks are left out. */
  readonly hostPorts: readonly string[];
}

/**
 * Returns whether a task counts against the resources of its node.
 *
 * A task counts until its agent reports its end, or its node is lost. A task that is asked to stop still counts.
 */
export function occupiesNode(task: Task): boolean {
  return task.nodeId !== "" && !isEnded(task);
}

/** Returns the resources that one task of this spec reserves. */
export function getResourceRequest(spec: ServiceSpec): ResourceRequest {
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

/** Returns what two tasks reserve together. */
export function sumRequests(a: ResourceRequest, b: ResourceRequest): ResourceRequest {
  return {
    nanoCpus: a.nanoCpus + b.nanoCpus,
    memoryBytes: a.memoryBytes + b.memoryBytes,
    pids: a.pids + b.pids,
    generic: sumCounts(a.generic, b.generic),
    hostPorts: [...a.hostPorts, ...b.hostPorts],
    networks: sumCounts(a.networks, b.networks),
  };
}

function sumCounts(
  a: ReadonlyMap<string, number>,
  b: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const sums = new Map(a);
  for (const [key, count] of b) sums.set(key, (sums.get(key) ?? 0) + count);
  return sums;
}

/** Returns whether a port is published on the node of each task instead of through the ingress. */
export function isHostMode(port: PortSpec): boolean {
  return port.mode === PortSpec_Mode.HOST;
}

/** Returns `<protocol>/<host ip>/<published port>`. The address is empty when the port is bound on all addresses. */
export function hostPortKey(port: PortSpec): string {
  return listenerKey({ protocol: port.protocol, address: port.hostIp, port: port.published });
}

/** Returns the key of a port that a program outside of Docker listens on, in the format of `hostPortKey`. */
export function listenerKey({ protocol, address, port }: HostListener): string {
  const isWildcard = address === "0.0.0.0" || address === "::";
  return `${protocol === PortSpec_Protocol.UDP ? "udp" : "tcp"}/${isWildcard ? "" : address}/${port}`;
}

/** Returns whether two ports, given by their keys, cannot be bound on one host at the same time. */
export function portsClash(a: string, b: string): boolean {
  const [protocolA, addressA, portA] = a.split("/");
  const [protocolB, addressB, portB] = b.split("/");
  if (protocolA !== protocolB || portA !== portB) return false;
  return addressA === addressB || addressA === "" || addressB === "";
}
