import { fieldOf, listOf, numberOf, textOf } from "../json.js";

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
  readonly port: number;
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
}

/** In the forwarding table: everybody. */
const EVERYBODY = "00:00:00:00:00:00";

/** Parses `ip -json -details address show` and `bridge -json fdb show`. */
export function parseLinks(addresses: unknown, fdb: unknown, nodeAddress: string): ObservedLinks {
  const list = listOf(addresses);
  const uplink = list.find((link) =>
    listOf(fieldOf(link, "addr_info")).some((one) => fieldOf(one, "local") === nodeAddress),
  );
  return {
    links: new Map(list.map(parseLink).map((link) => [link.name, link])),
    uplinkMtu: numberOf(fieldOf(uplink, "mtu")),
    floodTo: parseFloodTo(fdb),
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
    port: numberOf(fieldOf(data, "port")),
    isFiltered: fieldOf(data, "nf_call_iptables") === 1,
    isHairpin: fieldOf(fieldOf(info, "info_slave_data"), "hairpin") === true,
  };
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
