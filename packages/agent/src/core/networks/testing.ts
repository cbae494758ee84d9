import { AssignedNetwork, NetworkSpec } from "@berth/proto";
import { bridgeName, tunnelName } from "./devices.js";
import type { ObservedNetwork } from "./docker-network.js";
import { networkConfig } from "./docker-network.js";
import type { ObservedHostNetworks, ObservedLink, ObservedLinks } from "./observed-state.js";
import type { NetworkHost } from "./plan-network.js";

// Builders for tests of networks. They fill in the fields that a test does not set.

export const HOST: NetworkHost = {
  address: "10.0.0.1",
  overlayProblem: "",
  encryptionProblem: "",
  wireguardPublicKey: "own=",
};

export function networkWith(
  fields: Partial<Omit<AssignedNetwork, "spec">> & { readonly spec?: Partial<NetworkSpec> } = {},
): AssignedNetwork {
  const { spec, ...rest } = fields;
  return AssignedNetwork.fromPartial({
    id: "net1",
    subnet: "10.64.0.0/18",
    vni: 4097,
    range: "10.64.1.0/25",
    gateway: "10.64.1.1",
    peers: [
      { nodeId: "node2", address: "10.0.0.2" },
      { nodeId: "node3", address: "10.0.0.3" },
    ],
    ...rest,
    spec: NetworkSpec.fromPartial({ name: "shop_default", stack: "shop", ...spec }),
  });
}

/** Returns the Docker network of an assigned network in its desired state. */
export function dockerNetworkOf(
  network: AssignedNetwork,
  fields: Partial<ObservedNetwork> = {},
): ObservedNetwork {
  return {
    id: `docker-${network.id}`,
    name: network.spec?.name ?? "",
    networkId: network.id,
    config: networkConfig(network),
    mtu: 1_450,
    ...fields,
  };
}

export function linkWith(fields: Partial<ObservedLink> & { name: string }): ObservedLink {
  return {
    kind: "",
    isUp: true,
    mtu: 1_500,
    master: "",
    vni: 0,
    local: "",
    boundDevice: "",
    port: 0,
    isLearning: false,
    suppressesNeighbors: false,
    addresses: [],
    callsIptables: false,
    isHairpin: false,
    ...fields,
  };
}

export const bridgeOf = ({ vni }: AssignedNetwork): ObservedLink =>
  linkWith({ name: bridgeName(vni), kind: "bridge", mtu: 1_450, callsIptables: true });

export const tunnelOf = ({ vni }: AssignedNetwork, fields: Partial<ObservedLink> = {}): ObservedLink =>
  linkWith({
    name: tunnelName(vni),
    kind: "vxlan",
    mtu: 1_450,
    master: bridgeName(vni),
    vni,
    local: HOST.address,
    port: 4_789,
    isLearning: true,
    ...fields,
  });

export interface ObservedParts {
  readonly networks?: readonly ObservedNetwork[];
  readonly links?: readonly ObservedLink[];
  readonly floodPeers?: Readonly<Record<string, readonly string[]>>;
  readonly vxlanFdb?: ObservedLinks["vxlanFdb"];
  readonly bridgeFdb?: ObservedLinks["bridgeFdb"];
  readonly neighbors?: ObservedLinks["neighbors"];
  readonly uplinkMtu?: number;
  readonly vxlanFilter?: string;
}

export function observedWith({
  networks = [],
  links = [],
  floodPeers = {},
  vxlanFdb = new Map(),
  bridgeFdb = new Map(),
  neighbors = new Map(),
  uplinkMtu = 1_500,
  vxlanFilter = "",
}: ObservedParts = {}): ObservedHostNetworks {
  return {
    networks,
    links: new Map(links.map((link) => [link.name, link])),
    floodPeers: new Map(Object.entries(floodPeers)),
    vxlanFdb,
    bridgeFdb,
    neighbors,
    routes: [],
    uplinkMtu,
    vxlanFilter,
    wireguard: undefined,
  };
}

/** Returns the state of a host on which the network has converged. */
export function convergedHost(network: AssignedNetwork): ObservedHostNetworks {
  return observedWith({
    networks: [dockerNetworkOf(network)],
    links: [bridgeOf(network), tunnelOf(network)],
    floodPeers: { [tunnelName(network.vni)]: network.peers.map(({ address }) => address) },
  });
}
