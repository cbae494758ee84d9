import { type IngressEndpoint, type IngressEntry, PortSpec_Protocol } from "@berth/proto";
import type { IngressListener } from "../ingress/table.js";

/**
 * The same without new connections to some nodes, as long as a port has other endpoints: one that may answer is better
 * than none. Connections that are there live on, until the leader says that the node is down; datagrams have none.
 */
export function avoiding(
  entries: readonly IngressEntry[],
  nodeIds: ReadonlySet<string>,
): readonly IngressEntry[] {
  if (nodeIds.size === 0) return entries;
  return entries.map((entry) => {
    const trusted = entry.endpoints.filter(({ nodeId }) => !nodeIds.has(nodeId));
    if (trusted.length === 0 || trusted.length === entry.endpoints.length) return entry;
    const isUdp = entry.protocol === PortSpec_Protocol.UDP;
    const avoided = isUdp ? [] : entry.endpoints.filter(({ nodeId }) => nodeIds.has(nodeId));
    return { ...entry, endpoints: trusted, draining: [...entry.draining, ...avoided] };
  });
}

/** Addresses of the other nodes that connections go to, by node id. */
export function peersIn(entries: readonly IngressEntry[], ownNodeId: string): ReadonlyMap<string, string> {
  const peers = new Map<string, string>();
  for (const { endpoints } of entries) {
    for (const { nodeId, address } of endpoints) if (nodeId !== ownNodeId) peers.set(nodeId, address);
  }
  return peers;
}

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
