import {
  type AssignedNetwork,
  BerthError,
  type DnsEntry,
  type NetworkPeer,
  parseSubnet,
  subnetText,
} from "@berth/proto";
import { bridgeName, isBridgeName, overlayMtu, tunnelName, VXLAN_PORT, vniOfTunnel } from "./devices.js";
import { type HostRoute, routeInTheWay } from "./host-routes.js";
import { networkBody, networkConfig } from "./network-body.js";
import type { LinkStep, NetworkStep } from "./network-step.js";
import type { ObservedLink, ObservedLinks } from "./observed-links.js";
import type { ObservedNetwork } from "./observed-network.js";
import { planContainers, remoteContainers } from "./remote-containers.js";
import { innerAddress, isWireguardKey, WIREGUARD_DEVICE } from "./wireguard.js";

/** What a host's networks are made from. */
export interface NetworkHost {
  /** Where the other hosts reach this one. */
  readonly address: string;
  /** Why it can have no networks that span hosts; "": it can. */
  readonly refusal: string;
  /** Why it can have none that are encrypted; "": it can. */
  readonly encryptionRefusal: string;
  /** Of the key that this host has for them. */
  readonly wireguardPublicKey: string;
}

/** This host's networks and devices as they are. */
export interface ObservedHostNetworks extends ObservedLinks {
  readonly networks: readonly ObservedNetwork[];
}

/** How far a network has come on this host. */
export type NetworkState =
  /** Containers can join it. */
  | { readonly kind: "ready"; readonly dockerId: string }
  | { readonly kind: "waiting"; readonly reason: string }
  /** It cannot be on this host, now or tomorrow. */
  | { readonly kind: "refused"; readonly reason: string };

export interface NetworkPlan {
  readonly state: NetworkState;
  /** The next things to do, in this order; after them the host is looked at again. */
  readonly steps: readonly NetworkStep[];
}

/**
 * What to do about one network that tasks of this host use. Level-triggered: first Docker's network, which brings the
 * bridge, then the VXLAN device on that bridge, then the other hosts. Names say where every container of a listed
 * network is.
 */
export function planNetwork(
  network: AssignedNetwork,
  observed: ObservedHostNetworks,
  host: NetworkHost,
  names: readonly DnsEntry[] = [],
): NetworkPlan {
  const refusal = refusalOf(network, host);
  if (refusal !== "") return stuck({ kind: "refused", reason: refusal });
  if (observed.uplinkMtu === 0) return waiting(`no device of this host has its address ${host.address}`);
  const own = observed.networks.find(({ networkId }) => networkId === network.id);
  if (own === undefined) return planCreation(network, observed, mtuOf(network, observed.uplinkMtu, host));
  if (own.config !== networkConfig(network)) {
    const reason = "its settings have changed, and containers of this host still use it as it was";
    return { ...waiting(reason), steps: [{ kind: "remove-network", dockerId: own.id }] };
  }
  const bridge = observed.links.get(bridgeName(network.vni));
  if (bridge?.kind !== "bridge") {
    return waiting(`its bridge ${bridgeName(network.vni)} is not on this host: does Docker run elsewhere?`);
  }
  if (network.spec?.encrypted && !observed.links.has(WIREGUARD_DEVICE)) {
    return waiting(`its encryption is being set up: ${WIREGUARD_DEVICE} is not there yet`);
  }
  const tunnelSteps = planTunnel(network, observed.links.get(tunnelName(network.vni)), host, own.mtu);
  const isNew = tunnelSteps.some(({ kind }) => kind === "add-tunnel");
  const filter: LinkStep[] = bridge.callsIptables ? [] : [{ kind: "filter-bridge", bridge: bridge.name }];
  const seen = isNew ? withoutDevice(observed, tunnelName(network.vni)) : observed;
  const steps = [...tunnelSteps, ...filter, ...planReach(network, seen, names)];
  if (tunnelSteps.length > 0) return { ...waiting("it is being joined to the other hosts"), steps };
  return { state: { kind: "ready", dockerId: own.id }, steps };
}

/** Ports of containers that have come since the host was looked at last. They may go again at any time. */
export function planPorts({ links }: ObservedLinks): readonly LinkStep[] {
  const ours = [...links.values()].filter(({ kind, master }) => kind === "veth" && isBridgeName(master));
  const plain = ours.filter(({ isHairpin }) => !isHairpin);
  return plain.map(({ name }) => ({ kind: "set-hairpin", device: name }));
}

/** What to take away: networks and VXLAN devices of ours that nobody wants here any more. */
export function planRemovals(
  wanted: readonly AssignedNetwork[],
  { networks, links }: ObservedHostNetworks,
): readonly NetworkStep[] {
  const ids = new Set(wanted.map(({ id }) => id));
  const vnis = new Set(wanted.map(({ vni }) => vni));
  const surplus = networks.filter(({ networkId }) => networkId !== "" && !ids.has(networkId));
  const steps: NetworkStep[] = surplus.map(({ id }) => ({ kind: "remove-network", dockerId: id }));
  for (const { name, kind } of links.values()) {
    const vni = vniOfTunnel(name);
    // Docker's network goes first, since Docker refuses while containers are in it: they keep their tunnel.
    const isInUse = vni !== undefined && (vnis.has(vni) || links.has(bridgeName(vni)));
    if (kind === "vxlan" && vni !== undefined && !isInUse) steps.push({ kind: "delete-link", device: name });
  }
  return steps;
}

function refusalOf({ spec }: AssignedNetwork, { address, refusal, encryptionRefusal }: NetworkHost): string {
  if (refusal !== "") return `this host cannot have networks that span hosts: ${refusal}`;
  if (!spec?.encrypted) return "";
  if (address.includes(":")) return "it is encrypted, which hosts with IPv6 addresses cannot do";
  return encryptionRefusal && `it is encrypted, which this host cannot do: ${encryptionRefusal}`;
}

function planCreation(
  network: AssignedNetwork,
  { networks, routes }: ObservedHostNetworks,
  mtu: number,
): NetworkPlan {
  const name = network.spec?.name ?? "";
  const foreign = networks.find((one) => one.name === name);
  if (foreign !== undefined) {
    const id = foreign.id.slice(0, 12);
    return waiting(`this host's Docker has a network ${name} (${id}) that is not this one: remove that`);
  }
  const overlap = overlapOf(network, routes);
  if (overlap !== undefined) return stuck({ kind: "refused", reason: overlap.message });
  const step = { kind: "create-network", body: networkBody(network, mtu) } as const;
  return { ...waiting("it is being made"), steps: [step] };
}

/** Undefined: nothing of this host is in the network's way. */
function overlapOf({ subnet: text }: AssignedNetwork, routes: readonly HostRoute[]): BerthError | undefined {
  const subnet = parseSubnet(text);
  const route = subnet && routeInTheWay(subnet, routes);
  if (route === undefined) return undefined;
  const [other, by] = [subnetText(route.subnet), route.device || "gateways"];
  return new BerthError({
    code: "BERTH_NETWORK_OVERLAP",
    message: `BERTH_NETWORK_OVERLAP: its subnet ${text} overlaps ${other}, which this host reaches by ${by}: give the network another subnet (ipam), or the servers another --network-pool`,
  });
}

function mtuOf(network: AssignedNetwork, uplinkMtu: number, { address }: NetworkHost): number {
  const most = mostBytes(network, uplinkMtu, address);
  const asked = network.mtu || network.spec?.mtu || most;
  return Math.min(asked, most);
}

function mostBytes({ spec }: AssignedNetwork, uplinkMtu: number, address: string): number {
  return overlayMtu(uplinkMtu, { isIpv6: address.includes(":"), isEncrypted: spec?.encrypted ?? false });
}

/** Networks whose packets are larger than this host's uplink takes, a sentence each, for a person. */
export function mtuProblems(
  networks: readonly AssignedNetwork[],
  { uplinkMtu, address }: { readonly uplinkMtu: number; readonly address: string },
): readonly string[] {
  if (uplinkMtu === 0) return [];
  return networks.flatMap((network) => {
    const most = mostBytes(network, uplinkMtu, address);
    if (network.mtu <= most) return [];
    return [
      `network ${network.spec?.name}: its packets have up to ${network.mtu} bytes, and this host's uplink leaves ${most}: large datagrams get lost on the way here, while TCP finds out by itself; raise the uplink's MTU from ${uplinkMtu}, or make the network anew`,
    ];
  });
}

/** What a host is like where a device is to be made anew: that knows nothing yet. */
function withoutDevice(observed: ObservedLinks, device: string): ObservedLinks {
  const without = <Value>(map: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> =>
    new Map([...map].filter(([name]) => name !== device));
  const { links, floodPeers, vxlanFdb, bridgeFdb } = observed;
  return {
    ...observed,
    links: without(links),
    floodPeers: without(floodPeers),
    vxlanFdb: without(vxlanFdb),
    bridgeFdb: without(bridgeFdb),
  };
}

function planTunnel(
  { vni, spec }: AssignedNetwork,
  tunnel: ObservedLink | undefined,
  { address }: NetworkHost,
  mtu: number,
): readonly LinkStep[] {
  const [device, bridge] = [tunnelName(vni), bridgeName(vni)];
  const { local, boundDevice } = spec?.encrypted
    ? { local: innerAddress(address), boundDevice: WIREGUARD_DEVICE }
    : { local: address, boundDevice: "" };
  const add: LinkStep = { kind: "add-tunnel", device, bridge, vni, local, boundDevice, mtu };
  if (tunnel === undefined) return [add];
  const isRight =
    tunnel.kind === "vxlan" &&
    tunnel.vni === vni &&
    tunnel.local === local &&
    tunnel.boundDevice === boundDevice &&
    tunnel.port === VXLAN_PORT;
  if (!isRight) return [{ kind: "delete-link", device }, add];
  const isJoined = tunnel.master === bridge && tunnel.isUp && tunnel.mtu === mtu;
  return isJoined ? [] : [{ kind: "set-tunnel", device, bridge, mtu }];
}

/**
 * Where packets for others go. In a listed network first the containers are made known, and only then does nothing go
 * to everybody any more; the other way round, if hosts were removed.
 */
function planReach(
  network: AssignedNetwork,
  observed: ObservedLinks,
  names: readonly DnsEntry[],
): readonly LinkStep[] {
  const { vni, staticFdb: isStatic } = network;
  const device = tunnelName(vni);
  const tunnel = observed.links.get(device);
  const isSo = tunnel === undefined ? !isStatic : hasStaticFdb(tunnel, isStatic);
  const mode: LinkStep[] = isSo ? [] : [{ kind: "set-static-fdb", device, isStatic }];
  const addressOf = (peer: NetworkPeer): string | undefined => tunnelAddress(network, peer);
  const containers = isStatic ? remoteContainers(network, names, addressOf) : [];
  const listing = planContainers(vni, observed, containers);
  const flooding = planFlooding(network, observed);
  return isStatic ? [...mode, ...listing, ...flooding] : [...flooding, ...mode, ...listing];
}

function hasStaticFdb({ isLearning, suppressesNeighbours }: ObservedLink, isStatic: boolean): boolean {
  return isLearning === !isStatic && suppressesNeighbours === isStatic;
}

/** Undefined: encrypted packets cannot go there. */
function tunnelAddress(
  { spec }: AssignedNetwork,
  { address, wireguardPublicKey }: NetworkPeer,
): string | undefined {
  if (!spec?.encrypted) return address;
  return isWireguardKey(wireguardPublicKey) ? innerAddress(address) : undefined;
}

function planFlooding(network: AssignedNetwork, { floodPeers }: ObservedLinks): readonly LinkStep[] {
  const device = tunnelName(network.vni);
  const known = new Set(floodPeers.get(device));
  const peers = network.staticFdb ? [] : network.peers;
  const wanted = new Set(peers.flatMap((peer) => tunnelAddress(network, peer) ?? []));
  return [
    ...[...wanted]
      .filter((peer) => !known.has(peer))
      .map((peer) => ({ kind: "add-peer", device, peer }) as const),
    ...[...known]
      .filter((peer) => !wanted.has(peer))
      .map((peer) => ({ kind: "remove-peer", device, peer }) as const),
  ];
}

const stuck = (state: NetworkState): NetworkPlan => ({ state, steps: [] });
const waiting = (reason: string): NetworkPlan => stuck({ kind: "waiting", reason });
