import type { AssignedNetwork, DnsEntry, IngressEntry } from "@berth/proto";

/** The tables that direct traffic from this node. */
export interface TrafficTables {
  readonly ingress: readonly IngressEntry[];
  readonly networks: readonly AssignedNetwork[];
  readonly dnsEntries: readonly DnsEntry[];
}

/**
 * Returns the addresses, by node ID, of the other nodes to which this node sends connections: to published ports, or to
 * tasks in networks.
 */
export function watchedPeers(
  { ingress, networks, dnsEntries }: TrafficTables,
  ownNodeId: string,
): ReadonlyMap<string, string> {
  const peers = new Map<string, string>();
  for (const { nodeId, address } of ingress.flatMap(({ endpoints }) => endpoints)) peers.set(nodeId, address);
  const addresses = new Map(
    networks.flatMap((network) => network.peers.map(({ nodeId, address }) => [nodeId, address])),
  );
  for (const { nodeId } of dnsEntries.flatMap(({ endpoints }) => endpoints)) {
    const address = addresses.get(nodeId);
    if (address !== undefined) peers.set(nodeId, address);
  }
  peers.delete(ownNodeId);
  return peers;
}
