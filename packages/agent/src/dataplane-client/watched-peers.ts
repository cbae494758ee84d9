import type { AssignedNetwork, DnsEntry, IngressEntry } from "@berth/proto";
import { peersIn } from "./ingress-table.js";

export interface TrafficTables {
  readonly table: readonly IngressEntry[];
  readonly networks: readonly AssignedNetwork[];
  readonly names: readonly DnsEntry[];
}

/** Addresses of the other nodes that connections go to, to published ports or by names in networks, by node id. */
export function watchedPeers(tables: TrafficTables, ownNodeId: string): ReadonlyMap<string, string> {
  const peers = new Map(peersIn(tables.table, ownNodeId));
  const addresses = new Map(
    tables.networks.flatMap((network) => network.peers.map(({ nodeId, address }) => [nodeId, address])),
  );
  for (const { nodeId } of tables.names.flatMap(({ endpoints }) => endpoints)) {
    const address = addresses.get(nodeId);
    if (address !== undefined && nodeId !== ownNodeId) peers.set(nodeId, address);
  }
  return peers;
}
