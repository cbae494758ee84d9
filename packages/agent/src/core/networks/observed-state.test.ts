import { describe, expect, it } from "vitest";
import { parseLinks } from "./observed-state.js";

/** Output of iproute2 6.1, without the fields that are not read. */
const ADDRESSES = [
  {
    ifname: "lo",
    flags: ["LOOPBACK", "UP"],
    mtu: 65_536,
    addr_info: [{ family: "inet", local: "127.0.0.1" }],
  },
  {
    ifname: "eth0",
    flags: ["BROADCAST", "UP", "LOWER_UP"],
    mtu: 1_500,
    linkinfo: { info_kind: "veth" },
    addr_info: [{ family: "inet", local: "10.0.0.1", prefixlen: 24 }],
  },
  {
    ifname: "bth4097",
    flags: ["UP"],
    mtu: 1_450,
    linkinfo: { info_kind: "bridge", info_data: { nf_call_iptables: 1 } },
    addr_info: [],
  },
  {
    ifname: "btv4097",
    flags: ["BROADCAST"],
    mtu: 1_450,
    master: "bth4097",
    linkinfo: {
      info_kind: "vxlan",
      info_data: { id: 4_097, local: "10.0.0.1", port: 4_789, learning: true },
    },
    addr_info: [],
  },
];
const FDB = [
  { mac: "5a:81:9d:c7:82:86", ifname: "btv4097", master: "bth4097", state: "permanent" },
  { mac: "02:42:0a:40:02:02", ifname: "btv4097", dst: "10.0.0.2", flags: ["self"] },
  { mac: "00:00:00:00:00:00", ifname: "btv4097", dst: "10.0.0.2", flags: ["self"], state: "permanent" },
  { mac: "00:00:00:00:00:00", ifname: "btv4097", dst: "10.0.0.3", flags: ["self"], state: "permanent" },
  { mac: "02:42:0a:40:03:02", ifname: "btv4097", flags: [], master: "bth4097", state: "static" },
  { mac: "02:42:0a:40:03:02", ifname: "btv4097", dst: "10.0.0.3", flags: ["self"], state: "static" },
  { mac: "02:42:0a:40:03:02", ifname: "veth7", flags: [], master: "docker0", state: "static" },
];
const NEIGHBORS = [
  { dst: "10.64.3.2", dev: "bth4097", lladdr: "02:42:0a:40:03:02", state: ["PERMANENT"] },
  { dst: "10.0.0.9", dev: "eth0", lladdr: "02:42:0a:00:00:09", state: ["PERMANENT"] },
];

/** Output of wg 1.0. */
const DUMP = [
  ["secret=", "own=", "7403", "off"],
  ["key2=", "(none)", "10.0.0.2:7403", "fe80::a00:2/128", "1700000000", "148", "92", "off"],
  ["key3=", "(none)", "(none)", "(none)", "0", "0", "0", "off"],
]
  .map((line) => `${line.join("\t")}\n`)
  .join("");

describe("parseLinks", () => {
  it("parses devices, the uplink's MTU, forwarding entries and WireGuard peers", () => {
    const { links, uplinkMtu, floodPeers, wireguard, vxlanFdb, bridgeFdb, neighbors } = parseLinks(
      {
        addresses: ADDRESSES,
        routes: [],
        fdb: FDB,
        neighbors: NEIGHBORS,
        vxlanFilter: "rules",
        wireguard: DUMP,
      },
      "10.0.0.1",
    );
    const mac = "02:42:0a:40:03:02";
    expect(vxlanFdb).toEqual(new Map([["btv4097", new Map([[mac, "10.0.0.3"]])]]));
    expect(bridgeFdb).toEqual(new Map([["btv4097", new Set([mac])]]));
    expect(neighbors).toEqual(new Map([[4_097, new Map([["10.64.3.2", mac]])]]));
    expect(uplinkMtu).toBe(1_500);
    expect(links.get("bth4097")).toMatchObject({ kind: "bridge", isUp: true, callsIptables: true });
    expect(links.get("btv4097")).toEqual({
      name: "btv4097",
      kind: "vxlan",
      isUp: false,
      mtu: 1_450,
      master: "bth4097",
      vni: 4_097,
      local: "10.0.0.1",
      boundDevice: "",
      port: 4_789,
      isLearning: true,
      suppressesNeighbors: false,
      addresses: [],
      callsIptables: false,
      isHairpin: false,
    });
    expect(wireguard).toEqual({
      publicKey: "own=",
      port: 7_403,
      peers: new Map([
        ["key2=", { endpoint: "10.0.0.2:7403", allowedIps: "fe80::a00:2/128" }],
        ["key3=", { endpoint: "(none)", allowedIps: "(none)" }],
      ]),
    });
    expect([...floodPeers]).toEqual([["btv4097", ["10.0.0.2", "10.0.0.3"]]]);
  });

  it("returns an empty state for listings that are not lists", () => {
    expect(
      parseLinks(
        { addresses: {}, routes: {}, fdb: "x", neighbors: 7, vxlanFilter: "", wireguard: "" },
        "10.0.0.1",
      ),
    ).toEqual({
      links: new Map(),
      uplinkMtu: 0,
      floodPeers: new Map(),
      vxlanFdb: new Map(),
      bridgeFdb: new Map(),
      neighbors: new Map(),
      routes: [],
      vxlanFilter: "",
      wireguard: undefined,
    });
  });
});
