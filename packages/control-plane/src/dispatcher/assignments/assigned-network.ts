import type { AssignedNetwork, NetworkPeer, Node } from "@berth/proto";
import type { ClusterState } from "../../state/cluster-state.js";

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
    staticFdb: isListed(networkId),
    mtu,
  };
}

/**
 * Down ones too: their containers may run, and answer again when they return. A host that joined anew, with another
 * disk, is another node at the same address: what it was before is nobody's peer, and not its own.
 */
function peersOf(state: ClusterState, networkId: string, nodeId: string): NetworkPeer[] {
  const ownAddress = state.nodes.get(nodeId)?.description?.address;
  const latest = new Map<string, Node>();
  for (const peerId of state.networks.ranges.ofFirst(networkId).keys()) {
    const node = state.nodes.get(peerId);
    const address = node?.description?.address;
    if (peerId === nodeId || node === undefined || address === undefined || address === ownAddress) continue;
    const other = latest.get(address);
    if (other === undefined || other.createdAtMs < node.createdAtMs) latest.set(address, node);
  }
  return [...latest].map(([address, { id, description }]) => ({
    nodeId: id,
    address,
    wireguardPublicKey: description?.dataPlane?.wireguardPublicKey ?? "",
  }));
}
