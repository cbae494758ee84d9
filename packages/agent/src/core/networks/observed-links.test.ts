import { describe, expect, it } from "vitest";
import { parseLinks } from "./observed-links.js";

/** As iproute2 6.1 prints them, without what is not read. */
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
    linkinfo: { info_kind: "vxlan", info_data: { id: 4_097, local: "10.0.0.1", port: 4_789 } },
    addr_info: [],
  },
];
const FDB = [
  { mac: "5a:81:9d:c7:82:86", ifname: "btv4097", master: "bth4097", state: "permanent" },
  { mac: "02:42:0a:40:02:02", ifname: "btv4097", dst: "10.0.0.2", flags: ["self"] },
  { mac: "00:00:00:00:00:00", ifname: "btv4097", dst: "10.0.0.2", flags: ["self"], state: "permanent" },
  { mac: "00:00:00:00:00:00", ifname: "btv4097", dst: "10.0.0.3", flags: ["self"], state: "permanent" },
];

const ENDPOINTS = "key2=\t10.0.0.2:7403\nkey3=\t(none)\n";

describe("parseLinks", () => {
  it("finds devices, the uplink's MTU and where broadcasts go", () => {
    const { links, uplinkMtu, floodTo, wireguardPeers } = parseLinks(
      { addresses: ADDRESSES, fdb: FDB, endpoints: ENDPOINTS },
      "10.0.0.1",
    );
    expect(uplinkMtu).toBe(1_500);
    expect(links.get("bth4097")).toMatchObject({ kind: "bridge", isUp: true, isFiltered: true });
    expect(links.get("btv4097")).toEqual({
      name: "btv4097",
      kind: "vxlan",
      isUp: false,
      mtu: 1_450,
      master: "bth4097",
      vni: 4_097,
      local: "10.0.0.1",
      through: "",
      port: 4_789,
      isFiltered: false,
      isHairpin: false,
    });
    expect([...wireguardPeers]).toEqual([["key2=", "10.0.0.2"]]);
    expect([...floodTo]).toEqual([["btv4097", ["10.0.0.2", "10.0.0.3"]]]);
  });

  it("makes nothing of what is no list", () => {
    expect(parseLinks({ addresses: {}, fdb: "x", endpoints: "" }, "10.0.0.1")).toEqual({
      links: new Map(),
      uplinkMtu: 0,
      floodTo: new Map(),
      wireguardPeers: new Map(),
    });
  });
});
