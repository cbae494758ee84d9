import type { AssignedNetwork, NetworkPeer } from "@berth/proto";
import type { ClusterState } from "../state/cluster-state.js";

/**
 * A network as one of its nodes sees it; undefined for a node that has no part of it. A node that can have none any
 * more is told all the same: what runs there stays in it, and the agent says of new tasks what is in their way.
 */
export function assignedNetwork(
  state: ClusterState,
  networkId: string,
  nodeId: string,
  isListed: (networkId: string) => boolean,
): AssignedNetwork | undefined {
  const network = state.networks.get(networkId);
  const own = state.networks.ranges.get(networkId, nodeId);
  if (network?.spec === undefined || own === undefined) return undefined;
  const { id, spec, subnet, vni, mtu } = network;
  return {
    id,
    spec,
    subnet,
    vni,
    range: own.range,
    gateway: own.gateway,
    peers: peersOf(state, networkId, nodeId),
    listed: isListed(networkId),
    mtu,
  };
}

/** Down ones too: their containers may run, and answer again when they return. */
function peersOf(state: ClusterState, networkId: string, nodeId: string): NetworkPeer[] {
  const peers: NetworkPeer[] = [];
  for (const peerId of state.networks.ranges.ofFirst(networkId).keys()) {
    const description = peerId === nodeId ? undefined : state.nodes.get(peerId)?.description;
    if (description === undefined) continue;
    const { address, dataPlane } = description;
    peers.push({ nodeId: peerId, address, wireguardPublicKey: dataPlane?.wireguardPublicKey ?? "" });
  }
  return peers;
}
