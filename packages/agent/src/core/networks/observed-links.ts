import { fieldOf, listOf, numberOf, textOf } from "../docker/json.js";
import { EVERYBODY, vniOfBridge, vniOfTunnel } from "./devices.js";
import { type HostRoute, parseRoutes } from "./host-routes.js";
import { type ObservedWireguard, parseWireguard } from "./observed-wireguard.js";

/** A network device of this host. */
export interface ObservedLink {
  readonly name: string;
  /** "bridge", "vxlan", "veth", …; "" for hardware. */
  readonly kind: string;
  readonly isUp: boolean;
  readonly mtu: number;
  /** The bridge that it is a port of; "": none. */
  readonly master: string;
  /** Of a VXLAN device, otherwise 0 and "". */
  readonly vni: number;
  readonly local: string;
  /** The device that it is bound to; "": none. */
  readonly through: string;
  readonly port: number;
  /** Of a VXLAN device: it learns from packets where hardware addresses are. */
  readonly isLearning: boolean;
  /** Of a bridge's port: the bridge answers for what is behind it, as far as it knows. */
  readonly isSpokenFor: boolean;
  /** Of both families, without their prefixes' lengths. */
  readonly addresses: readonly string[];
  /** Of a bridge: what it carries is seen by the kernel's tables. */
  readonly isFiltered: boolean;
  /** Of a bridge's port: it gives back to its container what that sent to itself. */
  readonly isHairpin: boolean;
}

/** The network devices of this host, as far as a decision depends on them. */
export interface ObservedLinks {
  readonly links: ReadonlyMap<string, ObservedLink>;
  /** Bytes that packets may have on the device which has the node's address; 0: no device has it. */
  readonly uplinkMtu: number;
  /** Where each VXLAN device sends what is for everybody. */
  readonly floodTo: ReadonlyMap<string, readonly string[]>;
  /** Hardware addresses that each VXLAN device was told the host of, with that host. */
  readonly placed: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Hardware addresses that bridges were told to be behind a VXLAN device. */
  readonly behind: ReadonlyMap<string, ReadonlySet<string>>;
  /** By the VNI of the bridge: addresses whose hardware address it was told. */
  readonly neighbours: ReadonlyMap<number, ReadonlyMap<string, string>>;
  /** What the host reaches by other devices than those of networks that span hosts. */
  readonly routes: readonly HostRoute[];
  /** Of our WireGuard device; undefined: there is none. */
  readonly wireguard: ObservedWireguard | undefined;
}

export interface LinkListings {
  /** `ip -json -details address show` */
  readonly addresses: unknown;
  /** `ip -json -4 route show table all` */
  readonly routes: unknown;
  /** `bridge -json fdb show` */
  readonly fdb: unknown;
  /** `ip -json neigh show nud permanent` */
  readonly neighbours: unknown;
  /** `wg show berthwg dump`; "" where there is no such device. */
  readonly wireguard: string;
}

/** Parses what programs show of the devices of a host. */
export function parseLinks(
  { addresses, routes, fdb, neighbours, wireguard }: LinkListings,
  nodeAddress: string,
): ObservedLinks {
  const list = listOf(addresses);
  const uplink = list.find((link) => addressesOf(link).includes(nodeAddress));
  return {
    links: new Map(list.map(parseLink).map((link) => [link.name, link])),
    uplinkMtu: numberOf(fieldOf(uplink, "mtu")),
    floodTo: parseFloodTo(fdb),
    ...parseTold(fdb),
    neighbours: parseNeighbours(neighbours),
    routes: parseRoutes(routes, addresses),
    wireguard: wireguard === "" ? undefined : parseWireguard(wireguard),
  };
}

function parseLink(json: unknown): ObservedLink {
  const info = fieldOf(json, "linkinfo");
  const data = fieldOf(info, "info_data");
  return {
    name: textOf(fieldOf(json, "ifname")),
    kind: textOf(fieldOf(info, "info_kind")),
    isUp: listOf(fieldOf(json, "flags")).includes("UP"),
    mtu: numberOf(fieldOf(json, "mtu")),
    master: textOf(fieldOf(json, "master")),
    vni: numberOf(fieldOf(data, "id")),
    local: textOf(fieldOf(data, "local")) || textOf(fieldOf(data, "local6")),
    through: textOf(fieldOf(data, "link")),
    port: numberOf(fieldOf(data, "port")),
    isLearning: fieldOf(data, "learning") === true,
    isSpokenFor: fieldOf(fieldOf(info, "info_slave_data"), "neigh_suppress") === true,
    addresses: addressesOf(json),
    isFiltered: fieldOf(data, "nf_call_iptables") === 1,
    isHairpin: fieldOf(fieldOf(info, "info_slave_data"), "hairpin") === true,
  };
}

function addressesOf(link: unknown): readonly string[] {
  return listOf(fieldOf(link, "addr_info")).map((one) => textOf(fieldOf(one, "local")));
}

function parseFloodTo(fdb: unknown): ReadonlyMap<string, readonly string[]> {
  const floodTo = new Map<string, string[]>();
  for (const entry of listOf(fdb)) {
    const [device, peer] = [textOf(fieldOf(entry, "ifname")), textOf(fieldOf(entry, "dst"))];
    if (fieldOf(entry, "mac") !== EVERYBODY || peer === "") continue;
    const peers = floodTo.get(device) ?? [];
    floodTo.set(device, peers);
    peers.push(peer);
  }
  return floodTo;
}

/** What devices were told, not what they learned. The bridge's own part of it names no host. */
function parseTold(fdb: unknown): Pick<ObservedLinks, "placed" | "behind"> {
  const placed = new Map<string, Map<string, string>>();
  const behind = new Map<string, Set<string>>();
  for (const entry of listOf(fdb)) {
    const [mac, device] = [textOf(fieldOf(entry, "mac")), textOf(fieldOf(entry, "ifname"))];
    const isOurs = vniOfTunnel(device) !== undefined && fieldOf(entry, "state") === "static";
    if (!isOurs || mac === EVERYBODY) continue;
    const host = textOf(fieldOf(entry, "dst"));
    if (host === "") behind.set(device, (behind.get(device) ?? new Set()).add(mac));
    else placed.set(device, (placed.get(device) ?? new Map<string, string>()).set(mac, host));
  }
  return { placed, behind };
}

function parseNeighbours(listing: unknown): ReadonlyMap<number, ReadonlyMap<string, string>> {
  const neighbours = new Map<number, Map<string, string>>();
  for (const entry of listOf(listing)) {
    const vni = vniOfBridge(textOf(fieldOf(entry, "dev")));
    const [address, mac] = [textOf(fieldOf(entry, "dst")), textOf(fieldOf(entry, "lladdr"))];
    if (vni === undefined || mac === "") continue;
    neighbours.set(vni, (neighbours.get(vni) ?? new Map<string, string>()).set(address, mac));
  }
  return neighbours;
}
