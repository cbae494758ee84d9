import { readField, readList, readNumber, readString } from "../docker/json.js";
import { FLOOD_MAC, vniOfBridge, vniOfTunnel } from "./devices.js";
import type { ObservedNetwork } from "./docker-network.js";
import { type HostRoute, parseRoutes } from "./host-routes.js";

/** A network device of this host. */
export interface ObservedLink {
  readonly name: string;
  /** The kind of the device: "bridge", "vxlan", "veth", …. Empty for hardware. */
  readonly kind: string;
  readonly isUp: boolean;
  readonly mtu: number;
  /** The bridge that the device is attached to. Empty if there is none. */
  readonly master: string;
  /** The VNI of a VXLAN device. 0 for other devices. */
  readonly vni: number;
  /** The local tunnel address of a VXLAN device. Empty for other devices. */
  readonly local: string;
  /** The underlay device that the tunnel is bound to. Empty if it is bound to none. */
  readonly boundDevice: string;
  /** The UDP port of a VXLAN device. 0 for other devices. */
  readonly port: number;
  /** Whether a VXLAN device learns from packets which host has a MAC address. */
  readonly isLearning: boolean;
  /** Whether the bridge answers ARP requests at this port for known addresses itself (`neigh_suppress`). */
  readonly suppressesNeighbors: boolean;
  /** IPv4 and IPv6 addresses, without prefix lengths. */
  readonly addresses: readonly string[];
  /** Whether packets that a bridge forwards pass nftables. */
  readonly callsIptables: boolean;
  /** Whether the container at this bridge port receives the packets that it sends to itself. */
  readonly isHairpin: boolean;
}

/** A device that is attached to a bridge. */
export type BridgePort = Pick<ObservedLink, "name" | "kind" | "master" | "isHairpin">;

/** The state of this host's WireGuard device. */
export interface ObservedWireguard {
  /** The device's own public key, or "(none)" if no key is set. */
  readonly publicKey: string;
  readonly port: number;
  /** Peers by public key. `endpoint` is "(none)" until the address of a peer is known. */
  readonly peers: ReadonlyMap<string, { readonly allowedIps: string; readonly endpoint: string }>;
}

/** The parts of the kernel's network configuration that planning depends on. */
export interface ObservedLinks {
  readonly links: ReadonlyMap<string, ObservedLink>;
  /** The MTU of the device with the node's address. 0 if there is no such device. */
  readonly uplinkMtu: number;
  /** The peers that each VXLAN device floods to, by device. */
  readonly floodPeers: ReadonlyMap<string, readonly string[]>;
  /** The static entries of each VXLAN device, which map MAC addresses to hosts. */
  readonly vxlanFdb: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** The MAC addresses that the bridges reach through each VXLAN device, from their static entries. */
  readonly bridgeFdb: ReadonlyMap<string, ReadonlySet<string>>;
  /** The permanent neighbors by the VNI of the bridge, which map IP addresses to MAC addresses. */
  readonly neighbors: ReadonlyMap<number, ReadonlyMap<string, string>>;
  /** The nftables rules that filter VXLAN packets. Empty if their table does not exist. */
  readonly vxlanFilter: string;
  /** Routes through devices that do not belong to berth's networks. */
  readonly routes: readonly HostRoute[];
  /** The state of the WireGuard device. Undefined if the device does not exist. */
  readonly wireguard: ObservedWireguard | undefined;
}

/** The networks and network devices of this host. */
export interface ObservedHostNetworks extends ObservedLinks {
  readonly networks: readonly ObservedNetwork[];
}

/** The output of the commands that list a host's network configuration. Those of `ip` run with `-json -details`. */
export interface LinkListings {
  /** `ip address show` */
  readonly addresses: unknown;
  /** `ip route show table all` */
  readonly routes: unknown;
  /** `bridge -json fdb show` */
  readonly fdb: unknown;
  /** `ip neigh show nud permanent` */
  readonly neighbors: unknown;
  /** See {@link ObservedLinks.vxlanFilter}. */
  readonly vxlanFilter: string;
  /** The output of `wg show berthwg dump`. Empty if the device does not exist. */
  readonly wireguard: string;
}

/**
 * Parses the listings of a host. Unexpected JSON is treated as an empty list.
 *
 * @param nodeAddress selects the uplink
 */
export function parseLinks(
  { addresses, routes, fdb, neighbors, vxlanFilter, wireguard }: LinkListings,
  nodeAddress: string,
): ObservedLinks {
  const links = readList(addresses);
  const uplink = links.find((link) => addressesOf(link).includes(nodeAddress));
  return {
    links: new Map(links.map(parseLink).map((link) => [link.name, link])),
    uplinkMtu: readNumber(readField(uplink, "mtu")),
    floodPeers: parseFloodPeers(fdb),
    ...parseStaticFdb(fdb),
    neighbors: parseNeighbors(neighbors),
    vxlanFilter,
    routes: parseRoutes(routes, addresses),
    wireguard: wireguard === "" ? undefined : parseWireguard(wireguard),
  };
}

/** Parses the output of `ip -json -details link show type bridge_slave`, in which other devices are empty objects. */
export function parseBridgePorts(listing: unknown): readonly BridgePort[] {
  return readList(listing)
    .map(parseLink)
    .filter(({ name }) => name !== "");
}

function parseLink(json: unknown): ObservedLink {
  const info = readField(json, "linkinfo");
  const data = readField(info, "info_data");
  return {
    name: readString(readField(json, "ifname")),
    kind: readString(readField(info, "info_kind")),
    isUp: readList(readField(json, "flags")).includes("UP"),
    mtu: readNumber(readField(json, "mtu")),
    master: readString(readField(json, "master")),
    vni: readNumber(readField(data, "id")),
    local: readString(readField(data, "local")) || readString(readField(data, "local6")),
    boundDevice: readString(readField(data, "link")),
    port: readNumber(readField(data, "port")),
    isLearning: readField(data, "learning") === true,
    suppressesNeighbors: readField(readField(info, "info_slave_data"), "neigh_suppress") === true,
    addresses: addressesOf(json),
    callsIptables: readField(data, "nf_call_iptables") === 1,
    isHairpin: readField(readField(info, "info_slave_data"), "hairpin") === true,
  };
}

function addressesOf(link: unknown): readonly string[] {
  return readList(readField(link, "addr_info")).map((info) => readString(readField(info, "local")));
}

function parseFloodPeers(fdb: unknown): ReadonlyMap<string, readonly string[]> {
  const floodPeers = new Map<string, string[]>();
  for (const entry of readList(fdb)) {
    const [device, peer] = [readString(readField(entry, "ifname")), readString(readField(entry, "dst"))];
    if (readField(entry, "mac") !== FLOOD_MAC || peer === "") continue;
    const peers = floodPeers.get(device) ?? [];
    floodPeers.set(device, peers);
    peers.push(peer);
  }
  return floodPeers;
}

/** Parses static entries, not learned ones. Entries of the bridge itself have no destination. */
function parseStaticFdb(fdb: unknown): Pick<ObservedLinks, "vxlanFdb" | "bridgeFdb"> {
  const vxlanFdb = new Map<string, Map<string, string>>();
  const bridgeFdb = new Map<string, Set<string>>();
  for (const entry of readList(fdb)) {
    const [mac, device] = [readString(readField(entry, "mac")), readString(readField(entry, "ifname"))];
    const isOurs = vniOfTunnel(device) !== undefined && readField(entry, "state") === "static";
    if (!isOurs || mac === FLOOD_MAC) continue;
    const host = readString(readField(entry, "dst"));
    if (host === "") {
      bridgeFdb.set(device, (bridgeFdb.get(device) ?? new Set()).add(mac));
    } else {
      vxlanFdb.set(device, (vxlanFdb.get(device) ?? new Map<string, string>()).set(mac, host));
    }
  }
  return { vxlanFdb, bridgeFdb };
}

function parseNeighbors(listing: unknown): ReadonlyMap<number, ReadonlyMap<string, string>> {
  const neighbors = new Map<number, Map<string, string>>();
  for (const entry of readList(listing)) {
    const vni = vniOfBridge(readString(readField(entry, "dev")));
    const [address, mac] = [readString(readField(entry, "dst")), readString(readField(entry, "lladdr"))];
    if (vni === undefined || mac === "") continue;
    neighbors.set(vni, (neighbors.get(vni) ?? new Map<string, string>()).set(address, mac));
  }
  return neighbors;
}

/**
 * Parses `wg show DEVICE dump`: one line for the device (private key, public key, port, mark), and one line for each peer
 * (public key, preshared key, endpoint, allowed IPs, ...).
 */
function parseWireguard(dump: string): ObservedWireguard {
  const [device = [], ...peers] = dump
    .trim()
    .split("\n")
    .map((line) => line.split("\t"));
  const [, publicKey = "", port = ""] = device;
  return {
    publicKey,
    port: Number(port),
    peers: new Map(
      peers.map(([key = "", , endpoint = "", allowedIps = ""]) => [key, { endpoint, allowedIps }]),
    ),
  };
}
