import { describe, expect, it } from "vitest";
import { planNetwork } from "./plan-network.js";
import { bridgeOf, dockerNetworkOf, HOST, linkWith, networkWith, observedWith } from "./testing.js";
import { innerAddress, planWireguard, WIREGUARD_DEVICE, wireguardConfig } from "./wireguard.js";

const PEERS = [
  { nodeId: "node2", address: "10.0.0.2", wireguardPublicKey: "key2=" },
  { nodeId: "node3", address: "10.0.0.3", wireguardPublicKey: "" },
];
const SEALED = networkWith({ peers: PEERS, spec: { encrypted: true } });
const DEVICE = linkWith({ name: WIREGUARD_DEVICE, kind: "wireguard" });

describe("an encrypted network", () => {
  it("goes through WireGuard, to hosts that have a key alone", () => {
    expect(planWireguard([SEALED], observedWith(), HOST)).toEqual([
      { kind: "add-wireguard", inner: "fd62:6572:7468::a00:1", mtu: 1_440 },
      { kind: "set-wireguard", peers: [{ publicKey: "key2=", address: "10.0.0.2" }] },
    ]);
    const known = { ...observedWith({ links: [DEVICE] }), wireguardPeers: new Map([["key2=", "10.0.0.2"]]) };
    expect(planWireguard([SEALED], known, HOST)).toEqual([]);
    const moved = { ...known, wireguardPeers: new Map([["key2=", "10.0.0.9"]]) };
    expect(planWireguard([SEALED], moved, HOST)).toMatchObject([{ kind: "set-wireguard" }]);
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
        local: "fd62:6572:7468::a00:1",
        through: "berthwg",
        mtu: 1_370,
      },
      { kind: "add-peer", device: "btv4097", peer: "fd62:6572:7468::a00:2" },
    ]);
  });

  it("waits for the device, and has none where the kernel cannot encrypt", () => {
    const observed = observedWith({ networks: [dockerNetworkOf(SEALED)], links: [bridgeOf(SEALED)] });
    const { state, steps } = planNetwork(SEALED, observed, HOST);
    expect([state.kind, steps]).toEqual(["waiting", []]);
    const without = { ...HOST, encryptionRefusal: "no WireGuard" };
    expect(planWireguard([SEALED], observedWith(), without)).toEqual([]);
    expect(planWireguard([], observedWith({ links: [DEVICE] }), HOST)).toMatchObject([
      { kind: "delete-link" },
    ]);
  });
});

it("wireguardConfig lets each host send from its own address alone", () => {
  expect(wireguardConfig("own=", [{ publicKey: "key2=", address: "10.0.0.2" }])).toBe(`[Interface]
PrivateKey = own=
ListenPort = 7403

[Peer]
PublicKey = key2=
Endpoint = 10.0.0.2:7403
AllowedIPs = fd62:6572:7468::a00:2/128
`);
});

it("innerAddress tells hosts apart", () => {
  expect(innerAddress("192.168.200.17")).toBe("fd62:6572:7468::c0a8:c811");
  expect(innerAddress("10.0.0.0")).toBe("fd62:6572:7468::a00:0");
});
