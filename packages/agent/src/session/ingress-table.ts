import { type IngressEndpoint, type IngressEntry, PortSpec_Protocol } from "@berth/proto";
import type { IngressListener } from "../ingress/table.js";

/** What the leader says of the published ports, in the words of the ingress process. */
export function ingressListeners(entries: readonly IngressEntry[]): IngressListener[] {
  return entries.map((entry) => ({
    protocol: entry.protocol === PortSpec_Protocol.UDP ? "udp" : "tcp",
    address: entry.hostIp,
    port: entry.published,
    service: entry.serviceName,
    endpoints: entry.endpoints.map(toEndpoint),
    draining: entry.draining.map(toEndpoint),
  }));
}

function toEndpoint({ taskId, address, port }: IngressEndpoint): {
  id: string;
  address: string;
  port: number;
} {
  return { id: taskId, address, port };
}
