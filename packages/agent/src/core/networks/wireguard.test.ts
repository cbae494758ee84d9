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
const ENCRYPTED = networkWith({ peers: PEERS, spec: { encrypted: true } });
const DEVICE = linkWith({
  name: WIREGUARD_DEVICE,
  kind: "wireguard",
  mtu: 1_440,
  addresses: ["fe80::a00:1"],
});
const PEER = { endpoint: "10.0.0.2:7403", allowedIps: "fe80::a00:2/128" };
const KNOWN = { publicKey: "own=", port: 7_403, peers: new Map([[KEY_2, PEER]]) };
const SET = { kind: "set-wireguard-peers", peers: [{ publicKey: KEY_2, address: "10.0.0.2" }] };
const RAISE = { kind: "bring-up-wireguard", inner: "fe80::a00:1", mtu: 1_440 };

describe("an encrypted network", () => {
  const plan = (link: Partial<typeof DEVICE> = {}, wireguard: Partial<typeof KNOWN> = {}) => {
    const observed = observedWith({ links: [{ ...DEVICE, ...link }] });
    return planWireguard([ENCRYPTED], { ...observed, wireguard: { ...KNOWN, ...wireguard } }, HOST);
  };

  it("uses WireGuard, with the hosts that have a valid key as peers", () => {
    expect(planWireguard([ENCRYPTED], observedWith(), HOST)).toEqual([{ kind: "add-wireguard" }, SET, RAISE]);
    expect(plan()).toEqual([]);
  });

  it("repairs a WireGuard device that another program changed", () => {
    for (const link of [{ isUp: false }, { mtu: 1_300 }, { addresses: [] }]) {
      expect(plan(link)).toEqual([RAISE]);
    }
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

  it("has one peer for each address and each key", () => {
    const twice = [
      { nodeId: "old", address: "10.0.0.9", wireguardPublicKey: KEY_2 },
      { nodeId: "older", address: "10.0.0.2", wireguardPublicKey: KEY_1 },
      ...PEERS,
    ];
    const network = networkWith({ peers: twice, spec: { encrypted: true } });
    const [step] = planWireguard([network], { ...observedWith({ links: [DEVICE] }) }, HOST);
    expect(step).toEqual(SET);
  });

  it("binds its tunnel to the WireGuard device, so that it accepts no unencrypted packets", () => {
    const observed = observedWith({
      networks: [dockerNetworkOf(ENCRYPTED, { mtu: 1_370 })],
      links: [bridgeOf(ENCRYPTED), DEVICE],
    });
    expect(planNetwork(ENCRYPTED, observed, HOST).steps).toEqual([
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

  it("waits for the WireGuard device, and gets none when the host cannot encrypt", () => {
    const observed = observedWith({ networks: [dockerNetworkOf(ENCRYPTED)], links: [bridgeOf(ENCRYPTED)] });
    const { state, steps } = planNetwork(ENCRYPTED, observed, HOST);
    expect([state.kind, steps]).toEqual(["waiting", []]);
    const without = { ...HOST, encryptionProblem: "no WireGuard" };
    expect(planWireguard([ENCRYPTED], observedWith(), without)).toEqual([]);
    expect(planWireguard([ENCRYPTED], observedWith({ links: [DEVICE] }), without)).toEqual([]);
  });

  it("keeps the WireGuard device while a tunnel uses it", () => {
    const tunnel = linkWith({ name: "btv4097", kind: "vxlan", boundDevice: WIREGUARD_DEVICE });
    expect(planWireguard([], observedWith({ links: [DEVICE, tunnel] }), HOST)).toEqual([]);
    expect(planWireguard([], observedWith({ links: [DEVICE] }), HOST)).toEqual([
      { kind: "delete-link", device: WIREGUARD_DEVICE },
    ]);
  });
});

it("wireguardConfig lets each host send from its own address only", () => {
  expect(wireguardConfig("own=", [{ publicKey: KEY_2, address: "10.0.0.2" }])).toBe(`[Interface]
PrivateKey = own=
ListenPort = 7403

[Peer]
PublicKey = ${KEY_2}
Endpoint = 10.0.0.2:7403
AllowedIPs = fe80::a00:2/128
`);
});

it("innerAddress returns a distinct address for each host", () => {
  expect(innerAddress("192.168.200.17")).toBe("fe80::c0a8:c811");
  expect(innerAddress("10.0.0.0")).toBe("fe80::a00:0");
});
