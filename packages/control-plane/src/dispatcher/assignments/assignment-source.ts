import type { AssignedNetwork, NetworkPeer, Node } from "@berth/proto";
import { dnsEntryKey } from "../../core/allocator/dns-entries.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { TrafficTables } from "../traffic-tables.js";
import type { AssignmentSource } from "./assignment-feed.js";

export interface AssignmentSourceOptions {
  readonly state: ClusterState;
  readonly tables: TrafficTables;
  readonly isStopHeld: (taskId: string) => boolean;
  readonly hasStaticFdb: (networkId: string) => boolean;
}

/** Returns the records that the assignments of one node are built from. */
export function assignmentSource(
  nodeId: string,
  { state, tables, isStopHeld, hasStaticFdb }: AssignmentSourceOptions,
): AssignmentSource {
  return {
    tasks: () => state.tasks.ofNode(nodeId).values(),
    task: (taskId) => state.tasks.get(taskId),
    spec: (serviceId, version) => state.services.specOf(serviceId, version),
    ingress: () => tables.ingress.values(),
    ingressEntry: (key) => tables.ingress.get(key),
    isStopHeld,
    networkIdOf: (name) => state.networks.idOf(name),
    network: (networkId) => assignedNetwork(state, networkId, nodeId, hasStaticFdb),
    dnsKeys: (networkId) => dnsKeysIn(networkId, state),
    dnsEntry: (key) => tables.dns.get(key),
  };
}

function dnsKeysIn(networkId: string, state: ClusterState): readonly string[] {
  const name = state.networks.get(networkId)?.spec?.name;
  if (name === undefined) return [];
  return [...state.services.ofNetwork(name).keys()].map((serviceId) => dnsEntryKey(networkId, serviceId));
}

/**
 * Returns a network as one of its nodes is part of it; undefined for a node without a range of it. A node that has
 * become unable to join still gets the network: running tasks stay in it, and the agent reports why new ones fail.
 */
export function assignedNetwork(
  state: ClusterState,
  networkId: string,
  nodeId: string,
  hasStaticFdb: (networkId: string) => boolean,
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
    staticFdb: hasStaticFdb(networkId),
    mtu,
  };
}

/**
 * Returns the other nodes of a network. Down nodes are included: their containers may still run, and answer again
 * when the node returns. Of several nodes with one address, only the newest counts: the host was reinstalled, and its
 * former node is gone. For the same reason, a node with this node's own address is no peer.
 */
function peersOf(state: ClusterState, networkId: string, nodeId: string): NetworkPeer[] {
  const ownAddress = state.nodes.get(nodeId)?.description?.address;
  const newest = new Map<string, Node>();
  for (const peerId of state.networks.ranges.ofFirst(networkId).keys()) {
    const node = state.nodes.get(peerId);
    const address = node?.description?.address;
    if (peerId === nodeId || node === undefined || address === undefined || address === ownAddress) continue;
    const other = newest.get(address);
    if (other === undefined || other.createdAtMs < node.createdAtMs) newest.set(address, node);
  }
  return [...newest].map(([address, { id, description }]) => ({
    nodeId: id,
    address,
    wireguardPublicKey: description?.dataPlane?.wireguardPublicKey ?? "",
  }));
}
