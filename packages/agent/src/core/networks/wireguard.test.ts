import { describe, expect, it } from "vitest";
import { planNetwork } from "./plan-network.js";
import { bridgeOf, dockerNetworkOf, HOST, linkWith, networkWith, observedWith } from "./testing.js";
import { innerAddress, planWireguard, WIREGUARD_DEVICE, wireguardConfig } from "./wireguard.js";

const [KEY_1, KEY_2] = [`${"1".repeat(43)}=`, `${"2".repeat(43)}=`];
const PEERS = [
  { nodeId: "node2", address: "10.0.0.2", wireguardPublicKey: KEY_2 },
  { nodeId: "node3", address: "10.0.0.3", wireguardPublicKey: "" },
  { nodeId: "node4", address: "10.0.0.4", wireguardPublicKey: `${KEY_2.slice(2)}\n=` },
];
const SEALED = networkWith({ peers: PEERS, spec: { encrypted: true } });
const DEVICE = linkWith({
  name: WIREGUARD_DEVICE,
  kind: "wireguard",
  mtu: 1_440,
  addresses: ["fe80::a00:1"],
});
const PEER = { endpoint: "10.0.0.2:7403", allowedIps: "fe80::a00:2/128" };
const KNOWN = { publicKey: "own=", port: 7_403, peers: new Map([[KEY_2, PEER]]) };
const SET = { kind: "set-wireguard", peers: [{ publicKey: KEY_2, address: "10.0.0.2" }] };
const RAISE = { kind: "raise-wireguard", inner: "fe80::a00:1", mtu: 1_440 };

describe("an encrypted network", () => {
  const plan = (link: Partial<typeof DEVICE> = {}, wireguard: Partial<typeof KNOWN> = {}) => {
    const observed = observedWith({ links: [{ ...DEVICE, ...link }] });
    return planWireguard([SEALED], { ...observed, wireguard: { ...KNOWN, ...wireguard } }, HOST);
  };

  it("goes through WireGuard, to hosts that have a key alone", () => {
    expect(planWireguard([SEALED], observedWith(), HOST)).toEqual([{ kind: "add-wireguard" }, SET, RAISE]);
    expect(plan()).toEqual([]);
  });

  it("gets its device back as it was, whatever of it was changed", () => {
    for (const link of [{ isUp: false }, { mtu: 1_300 }, { addresses: [] }])
      expect(plan(link)).toEqual([RAISE]);
    const peers = (peer: Partial<typeof PEER>) => ({ peers: new Map([[KEY_2, { ...PEER, ...peer }]]) });
    for (const known of [
      { publicKey: "(none)" },
      { port: 51_820 },
      { peers: new Map() },
      { peers: new Map([...KNOWN.peers, ["key9=", PEER]]) },
      peers({ allowedIps: "(none)" }),
      peers({ endpoint: "(none)" }),
    ]) {
      expect(plan({}, known)).toEqual([SET]);
    }
    expect(plan({}, peers({ endpoint: "192.0.2.1:1024" }))).toEqual([]);
  });

  it("has one host at an address, and one of a key", () => {
    const twice = [
      { nodeId: "old", address: "10.0.0.9", wireguardPublicKey: KEY_2 },
      { nodeId: "older", address: "10.0.0.2", wireguardPublicKey: KEY_1 },
      ...PEERS,
    ];
    const network = networkWith({ peers: twice, spec: { encrypted: true } });
    const [step] = planWireguard([network], { ...observedWith({ links: [DEVICE] }) }, HOST);
    expect(step).toEqual(SET);
  });

  it("has its tunnel inside, bound to that device: nothing plain comes in by it", () => {
    const observed = observedWith({
      networks: [dockerNetworkOf(SEALED, { mtu: 1_370 })],
      links: [bridgeOf(SEALED), DEVICE],
    });
    expect(planNetwork(SEALED, observed, HOST).steps).toEqual([
      {
        kind: "add-tunnel",
        device: "btv4097",
        bridge: "bth4097",
        vni: 4097,
        local: "fe80::a00:1",
        boundDevice: "berthwg",
        mtu: 1_370,
      },
      { kind: "add-peer", device: "btv4097", peer: "fe80::a00:2" },
    ]);
  });

  it("waits for the device, and has none where the kernel cannot encrypt", () => {
    const observed = observedWith({ networks: [dockerNetworkOf(SEALED)], links: [bridgeOf(SEALED)] });
    const { state, steps } = planNetwork(SEALED, observed, HOST);
    expect([state.kind, steps]).toEqual(["waiting", []]);
    const without = { ...HOST, encryptionRefusal: "no WireGuard" };
    expect(planWireguard([SEALED], observedWith(), without)).toEqual([]);
    expect(planWireguard([SEALED], observedWith({ links: [DEVICE] }), without)).toEqual([]);
  });

  it("keeps the device while a tunnel goes through it", () => {
    const tunnel = linkWith({ name: "btv4097", kind: "vxlan", boundDevice: WIREGUARD_DEVICE });
    expect(planWireguard([], observedWith({ links: [DEVICE, tunnel] }), HOST)).toEqual([]);
    expect(planWireguard([], observedWith({ links: [DEVICE] }), HOST)).toEqual([
      { kind: "delete-link", device: WIREGUARD_DEVICE },
    ]);
  });
});

it("wireguardConfig lets each host send from its own address alone", () => {
  expect(wireguardConfig("own=", [{ publicKey: KEY_2, address: "10.0.0.2" }])).toBe(`[Interface]
PrivateKey = own=
ListenPort = 7403

[Peer]
PublicKey = ${KEY_2}
Endpoint = 10.0.0.2:7403
AllowedIPs = fe80::a00:2/128
`);
});

it("innerAddress tells hosts apart", () => {
  expect(innerAddress("192.168.200.17")).toBe("fe80::c0a8:c811");
  expect(innerAddress("10.0.0.0")).toBe("fe80::a00:0");
});
