import {
  type AssignedNetwork,
  canonicalIp,
  type DnsEndpoint,
  type DnsEntry,
  type NetworkPeer,
  parseIpv4,
  parseSubnet,
  type Subnet,
  subnetHas,
} from "@berth/proto";
import { bridgeName, tunnelName, VXLAN_PORT } from "./devices.js";
import type { LinkStep } from "./network-step.js";
import type { ObservedLink, ObservedLinks } from "./observed-state.js";
import { innerAddress, isWireguardKey, WIREGUARD_DEVICE } from "./wireguard.js";

// Plans the VXLAN device of an overlay network, and the forwarding entries that route frames to other hosts. A network
// floods unknown frames to all its peers, unless the leader assigned it a static forwarding database (`staticFdb`).

/**
 * Plans the tunnel device of a network first, then its forwarding entries.
 *
 * @param mtu of the Docker network
 */
export function planTunnel(
  network: AssignedNetwork,
  observed: ObservedLinks,
  dnsEntries: readonly DnsEntry[],
  { address, mtu }: { readonly address: string; readonly mtu: number },
): readonly LinkStep[] {
  const device = tunnelName(network.vni);
  const deviceSteps = planDevice(network, observed.links.get(device), address, mtu);
  const isNew = deviceSteps.some(({ kind }) => kind === "add-tunnel");
  const forwarding = planForwarding(network, isNew ? withoutDevice(observed, device) : observed, dnsEntries);
  return [...deviceSteps, ...forwarding];
}

function planDevice(
  { vni, spec }: AssignedNetwork,
  tunnel: ObservedLink | undefined,
  address: string,
  mtu: number,
): readonly LinkStep[] {
  const [device, bridge] = [tunnelName(vni), bridgeName(vni)];
  const { local, boundDevice } = spec?.encrypted
    ? { local: innerAddress(address), boundDevice: WIREGUARD_DEVICE }
    : { local: address, boundDevice: "" };
  const add: LinkStep = { kind: "add-tunnel", device, bridge, vni, local, boundDevice, mtu };
  if (tunnel === undefined) return [add];
  const isReusable =
    tunnel.kind === "vxlan" &&
    tunnel.vni === vni &&
    tunnel.local === local &&
    tunnel.boundDevice === boundDevice &&
    tunnel.port === VXLAN_PORT;
  if (!isReusable) return [{ kind: "delete-link", device }, add];
  const isAttached = tunnel.master === bridge && tunnel.isUp && tunnel.mtu === mtu;
  return isAttached ? [] : [{ kind: "set-tunnel", device, bridge, mtu }];
}

/** Returns the state after a device was deleted: a new device of the same name has no forwarding entries. */
function withoutDevice(observed: ObservedLinks, device: string): ObservedLinks {
  const omitDevice = <Value>(map: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> =>
    new Map([...map].filter(([name]) => name !== device));
  const { links, floodPeers, vxlanFdb, bridgeFdb } = observed;
  return {
    ...observed,
    links: omitDevice(links),
    floodPeers: omitDevice(floodPeers),
    vxlanFdb: omitDevice(vxlanFdb),
    bridgeFdb: omitDevice(bridgeFdb),
  };
}

/**
 * Plans the forwarding entries so that traffic is never interrupted. A switch to static entries adds them before
 * flooding stops, and a switch back to flooding starts it before the static entries are removed.
 */
function planForwarding(
  network: AssignedNetwork,
  observed: ObservedLinks,
  dnsEntries: readonly DnsEntry[],
): readonly LinkStep[] {
  const { vni, staticFdb: isStatic } = network;
  const device = tunnelName(vni);
  const tunnel = observed.links.get(device);
  // A new device learns.
  const hasMode = tunnel === undefined ? !isStatic : hasStaticFdb(tunnel, isStatic);
  const modeSteps: LinkStep[] = hasMode ? [] : [{ kind: "set-static-fdb", device, isStatic }];
  const addressOf = (peer: NetworkPeer): string | undefined => tunnelAddress(network, peer);
  const containers = isStatic ? remoteContainers(network, dnsEntries, addressOf) : [];
  const entrySteps = planStaticEntries(vni, observed, containers);
  const floodSteps = planFlooding(network, observed);
  return isStatic
    ? [...modeSteps, ...entrySteps, ...floodSteps]
    : [...floodSteps, ...modeSteps, ...entrySteps];
}

function hasStaticFdb({ isLearning, suppressesNeighbors }: ObservedLink, isStatic: boolean): boolean {
  return isLearning === !isStatic && suppressesNeighbors === isStatic;
}

/**
 * Returns the address of a peer's tunnel endpoint, or undefined if the peer has no valid address, or if the network is
 * encrypted and the peer has no key: one invalid peer must not exclude the others.
 */
function tunnelAddress(
  { spec }: AssignedNetwork,
  { address, wireguardPublicKey }: NetworkPeer,
): string | undefined {
  if (!spec?.encrypted) return canonicalIp(address);
  const isValidPeer = isWireguardKey(wireguardPublicKey) && parseIpv4(address) !== undefined;
  return isValidPeer ? innerAddress(address) : undefined;
}

function planFlooding(network: AssignedNetwork, { floodPeers }: ObservedLinks): readonly LinkStep[] {
  const device = tunnelName(network.vni);
  const current = new Set(floodPeers.get(device));
  const peers = network.staticFdb ? [] : network.peers;
  const desired = new Set(peers.flatMap((peer) => tunnelAddress(network, peer) ?? []));
  const added = [...desired].filter((peer) => !current.has(peer));
  const removed = [...current].filter((peer) => !desired.has(peer));
  return [
    ...added.map((peer) => ({ kind: "add-peer", device, peer }) as const),
    ...removed.map((peer) => ({ kind: "remove-peer", device, peer }) as const),
  ];
}

/** A container on another host in a network with a static forwarding database. */
export interface RemoteContainer {
  readonly address: string;
  readonly macAddress: string;
  /** The address of the host's tunnel endpoint. */
  readonly tunnelAddress: string;
}

/** A unicast address: multicast addresses have an odd first byte. */
const MAC_ADDRESS = /^(?!00:00:00:00:00:00)[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/;

/**
 * Returns the containers on other hosts, from the DNS entries. When two containers have the same address, a serving
 * endpoint takes precedence over a draining one, and a draining one over an inactive one.
 *
 * When two of these have the same MAC address, a container on this host takes precedence, then the container from whose
 * IP address Docker derives it. Endpoints in this host's range are ignored: other hosts have no such addresses.
 */
export function remoteContainers(
  { id, range, peers }: AssignedNetwork,
  dnsEntries: readonly DnsEntry[],
  addressOf: (peer: NetworkPeer) => string | undefined,
): readonly RemoteContainer[] {
  const tunnelAddresses = new Map(peers.map((peer) => [peer.nodeId, addressOf(peer)]));
  const ownRange = parseSubnet(range);
  const entries = dnsEntries.filter(({ networkId }) => networkId === id);
  const holders = addressHolders([
    ...entries.flatMap((entry) => entry.endpoints),
    ...entries.flatMap((entry) => entry.draining),
    ...entries.flatMap((entry) => entry.inactive),
  ]);
  const macHolders = new Map<string, DnsEndpoint>();
  const isLocal = ({ nodeId }: DnsEndpoint): boolean => !tunnelAddresses.has(nodeId);
  const isDerived = (endpoint: DnsEndpoint): boolean =>
    macAddressOf(endpoint) === derivedMac(endpoint.address);
  for (const isPreferred of [isLocal, isDerived, () => true]) {
    for (const endpoint of holders.filter(isPreferred)) {
      const mac = macAddressOf(endpoint) ?? "";
      if (!macHolders.has(mac)) macHolders.set(mac, endpoint);
    }
  }
  return holders.flatMap((endpoint) => {
    const { address } = endpoint;
    const tunnelAddress = tunnelAddresses.get(endpoint.nodeId);
    const macAddress = macAddressOf(endpoint);
    if (tunnelAddress === undefined || macAddress === undefined || isInRange(ownRange, address)) return [];
    return macHolders.get(macAddress) === endpoint ? [{ address, macAddress, tunnelAddress }] : [];
  });
}

/** Returns the first endpoint of each valid address. */
function addressHolders(endpoints: readonly DnsEndpoint[]): readonly DnsEndpoint[] {
  const holders = new Map<string, DnsEndpoint>();
  for (const endpoint of endpoints) {
    if (parseIpv4(endpoint.address) !== undefined && !holders.has(endpoint.address)) {
      holders.set(endpoint.address, endpoint);
    }
  }
  return [...holders.values()];
}

function isInRange(range: Subnet | undefined, text: string): boolean {
  const address = parseIpv4(text);
  return range !== undefined && address !== undefined && subnetHas(range, address);
}

/**
 * Returns the MAC address of an endpoint, or undefined if its IP address is invalid. Both become arguments of commands,
 * so neither may be arbitrary text. Agents of older releases report no MAC address: dockerd derives it from the IP
 * address.
 */
function macAddressOf({
  address,
  macAddress,
}: Pick<DnsEndpoint, "address" | "macAddress">): string | undefined {
  if (parseIpv4(address) === undefined) return undefined;
  return MAC_ADDRESS.test(macAddress) ? macAddress : derivedMac(address);
}

/** Returns the MAC address that Docker derives from an IP address. */
function derivedMac(address: string): string {
  const bytes = address.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"));
  return ["02", "42", ...bytes].join(":");
}

/**
 * Plans the static entries of remote containers: the host of each MAC address (VXLAN forwarding database), the tunnel as
 * its bridge port (bridge forwarding database), and the MAC address of each IP address, with which the bridge answers ARP.
 */
export function planStaticEntries(
  vni: number,
  { vxlanFdb, bridgeFdb, neighbors }: ObservedLinks,
  containers: readonly RemoteContainer[],
): readonly LinkStep[] {
  const device = tunnelName(vni);
  const hostByMac = vxlanFdb.get(device) ?? new Map<string, string>();
  const tunnelMacs = bridgeFdb.get(device) ?? new Set<string>();
  const macByAddress = neighbors.get(vni) ?? new Map<string, string>();
  const macs = new Set(containers.map(({ macAddress }) => macAddress));
  const addresses = new Set(containers.map(({ address }) => address));
  const upserts = containers.filter(
    (container) =>
      hostByMac.get(container.macAddress) !== container.tunnelAddress ||
      !tunnelMacs.has(container.macAddress) ||
      macByAddress.get(container.address) !== container.macAddress,
  );
  const stale = {
    vxlanFdb: [...hostByMac.keys()].filter((mac) => !macs.has(mac)),
    bridgeFdb: [...tunnelMacs].filter((mac) => !macs.has(mac)),
    neighbors: [...macByAddress.keys()].filter((address) => !addresses.has(address)),
  };
  const staleCount = stale.vxlanFdb.length + stale.bridgeFdb.length + stale.neighbors.length;
  return upserts.length + staleCount === 0 ? [] : [{ kind: "update-static-entries", vni, upserts, stale }];
}
