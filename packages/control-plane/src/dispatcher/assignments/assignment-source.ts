import type {
  AssignedFile,
  AssignedNetwork,
  AssignedRegistryLogin,
  FileVersion,
  NetworkPeer,
  Node,
  RegistryCredentials,
  RegistryLogin,
} from "@berth/proto";
import { dnsEntryKey } from "../../core/allocator/dns-entries.js";
import { isNodeLive, nodeClaims } from "../../core/model/node-claims.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { TrafficTables } from "../traffic-tables.js";
import type { AssignmentSource } from "./assignment-feed.js";

export interface AssignmentSourceOptions {
  readonly state: ClusterState;
  readonly tables: TrafficTables;
  readonly isStopHeld: (taskId: string) => boolean;
  readonly hasStaticFdb: (networkId: string) => boolean;
  /** Returns the content of a secret or config, or undefined if this server cannot decrypt it. */
  readonly openFile: (file: FileVersion) => Uint8Array | undefined;
  /** Returns the credentials of a registry login, or undefined if this server cannot decrypt them. */
  readonly openLogin: (login: RegistryLogin) => RegistryCredentials | undefined;
}

/** Returns the source of one node's assignments: its tasks and networks, and the traffic tables. */
export function createAssignmentSource(
  nodeId: string,
  { state, tables, isStopHeld, hasStaticFdb, openFile, openLogin }: AssignmentSourceOptions,
): AssignmentSource {
  return {
    tasks: () => state.tasks.ofNode(nodeId).values(),
    task: (taskId) => state.tasks.get(taskId),
    spec: (serviceId, version) => state.services.versions.specOf(serviceId, version),
    ingressEntries: () => tables.ingress.values(),
    ingressEntry: (key) => tables.ingress.get(key),
    policy: () => state.policy,
    keepsUnknownTasks: () => state.isRestorePending,
    isStopHeld,
    file: (fileId) => assignedFile(state.files.get(fileId), openFile),
    registryLogin: (key) => assignedLogin(state.logins.byKey(key), openLogin),
    networkIdOf: (name) => state.networks.idOf(name),
    network: (networkId) => assignedNetwork(state, networkId, nodeId, hasStaticFdb),
    dnsKeys: (networkId) => listDnsKeys(networkId, state),
    dnsEntry: (key) => tables.dns.get(key),
  };
}

function assignedFile(
  file: FileVersion | undefined,
  openFile: AssignmentSourceOptions["openFile"],
): AssignedFile | undefined {
  const content = file && openFile(file);
  return content && { id: file.id, content: Buffer.from(content), isTemplate: file.isTemplate };
}

function assignedLogin(
  login: RegistryLogin | undefined,
  openLogin: AssignmentSourceOptions["openLogin"],
): AssignedRegistryLogin | undefined {
  const credentials = login && openLogin(login);
  return credentials && { id: login.id, stack: login.stack, credentials };
}

function listDnsKeys(networkId: string, state: ClusterState): readonly string[] {
  const name = state.networks.get(networkId)?.spec?.name;
  if (name === undefined) return [];
  return [...state.services.ofNetwork(name).keys()].map((serviceId) => dnsEntryKey(networkId, serviceId));
}

/**
 * Returns a network with the range of one node, or undefined if the node has no range in the network.
 *
 * A node that can no longer join still gets the network: its running tasks stay attached, and the agent reports why new
 * tasks fail.
 */
export function assignedNetwork(
  state: ClusterState,
  networkId: string,
  nodeId: string,
  hasStaticFdb: (networkId: string) => boolean,
): AssignedNetwork | undefined {
  const network = state.networks.get(networkId);
  const nodeRange = state.networks.ranges.get(networkId, nodeId);
  if (network?.spec === undefined || nodeRange === undefined) return undefined;
  const { id, spec, subnet, vni, mtu } = network;
  return {
    id,
    spec,
    subnet,
    vni,
    range: nodeRange.range,
    gateway: nodeRange.gateway,
    peers: findPeers(state, networkId, nodeId),
    staticFdb: hasStaticFdb(networkId),
    mtu,
  };
}

/**
 * Returns the other nodes of a network, including down nodes: their containers may still run and become reachable
 * again.
 *
 * Several nodes with the same address are the same reinstalled host, so only one of them is returned, and a node with
 * this node's own address is left out. Likewise, only one of several nodes with the same WireGuard key is returned.
 */
function findPeers(state: ClusterState, networkId: string, nodeId: string): NetworkPeer[] {
  const nodeIds = [...state.networks.ranges.ofNetwork(networkId).keys()];
  const nodes = nodeIds.flatMap((id) => (id === nodeId ? [] : (state.nodes.get(id) ?? [])));
  const takenClaims = new Set(nodeClaims(state.nodes.get(nodeId)?.description));
  const owners = new Set<Node>();
  for (const node of [...nodes].sort(byPrecedence)) {
    const claims = nodeClaims(node.description);
    if (claims.length === 0 || claims.some((claim) => takenClaims.has(claim))) continue;
    for (const claim of claims) takenClaims.add(claim);
    owners.add(node);
  }
  return nodes
    .filter((node) => owners.has(node))
    .map(({ id, description }) => ({
      nodeId: id,
      address: description?.address ?? "",
      wireguardPublicKey: description?.dataPlane?.wireguardPublicKey ?? "",
    }));
}

/**
 * Orders nodes by their precedence for an address. Live nodes come first. Of two live nodes, the older one comes first,
 * because the newer one took the address while that host was unreachable. Of two other nodes, the newer one comes
 * first.
 */
function byPrecedence(a: Node, b: Node): number {
  const isLive = isNodeLive(a);
  if (isLive !== isNodeLive(b)) return isLive ? -1 : 1;
  return isLive ? a.createdAtMs - b.createdAtMs : b.createdAtMs - a.createdAtMs;
}
