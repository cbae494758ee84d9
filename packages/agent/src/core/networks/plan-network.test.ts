import { describe, expect, it } from "vitest";
import { mtuProblems, planHairpins, planNetwork, planRemovals } from "./plan-network.js";
import {
  bridgeOf,
  convergedHost,
  dockerNetworkOf,
  HOST,
  linkWith,
  networkWith,
  observedWith,
  tunnelOf,
} from "./testing.js";

const NETWORK = networkWith();

describe("planNetwork", () => {
  it("creates the Docker network first, which creates the bridge, and then connects the bridge", () => {
    const { state, steps } = planNetwork(NETWORK, observedWith(), HOST);
    expect(state).toEqual({ kind: "ready" });
    expect(steps).toMatchObject([
      { kind: "create-network", body: { Name: "shop_default" } },
      { kind: "filter-bridge", bridge: "bth4097" },
      { kind: "add-tunnel", bridge: "bth4097", mtu: 1_450 },
      { kind: "add-peer", peer: "10.0.0.2" },
      { kind: "add-peer", peer: "10.0.0.3" },
    ]);
  });

  it("creates an encrypted network before its WireGuard device exists, and connects it afterwards", () => {
    const encrypted = networkWith({ spec: { encrypted: true } });
    const { state, steps } = planNetwork(encrypted, observedWith(), HOST);
    expect(state).toMatchObject({
      kind: "waiting",
      reason: expect.stringContaining("setting up encryption"),
    });
    expect(steps).toMatchObject([{ kind: "create-network" }]);
  });

  it("connects the bridge to the other hosts", () => {
    const observed = observedWith({ networks: [dockerNetworkOf(NETWORK)], links: [bridgeOf(NETWORK)] });
    expect(planNetwork(NETWORK, observed, HOST)).toEqual({
      state: { kind: "ready" },
      steps: [
        {
          kind: "add-tunnel",
          device: "btv4097",
          bridge: "bth4097",
          vni: 4097,
          local: "10.0.0.1",
          boundDevice: "",
          mtu: 1_450,
        },
        { kind: "add-peer", device: "btv4097", peer: "10.0.0.2" },
        { kind: "add-peer", device: "btv4097", peer: "10.0.0.3" },
      ],
    });
  });

  it("returns ready and no steps when the network has converged", () => {
    expect(planNetwork(NETWORK, convergedHost(NETWORK), HOST)).toEqual({
      state: { kind: "ready" },
      steps: [],
    });
  });

  it("keeps a network ready while hosts join and leave", () => {
    const changed = networkWith({
      peers: [{ nodeId: "node4", address: "10.0.0.4", wireguardPublicKey: "" }],
    });
    const { state, steps } = planNetwork(changed, convergedHost(NETWORK), HOST);
    expect(state.kind).toBe("ready");
    expect(steps).toEqual([
      { kind: "add-peer", device: "btv4097", peer: "10.0.0.4" },
      { kind: "remove-peer", device: "btv4097", peer: "10.0.0.2" },
      { kind: "remove-peer", device: "btv4097", peer: "10.0.0.3" },
    ]);
  });

  it("recreates a device with another VNI or address, and repairs one that was detached or is down", () => {
    const planWith = (tunnel: Parameters<typeof tunnelOf>[1]) => {
      const { floodPeers, networks } = convergedHost(NETWORK);
      const links = [bridgeOf(NETWORK), tunnelOf(NETWORK, tunnel)];
      return planNetwork(NETWORK, { ...observedWith({ networks, links }), floodPeers }, HOST).steps;
    };
    // The new device has no forwarding entries.
    const recreated = ["delete-link", "add-tunnel", "add-peer", "add-peer"].map((kind) => ({ kind }));
    expect(planWith({ vni: 7 })).toMatchObject(recreated);
    expect(planWith({ local: "10.0.0.9" })).toMatchObject(recreated);
    expect(planWith({ master: "" })).toMatchObject([{ kind: "set-tunnel", bridge: "bth4097" }]);
    expect(planWith({ isUp: false })).toMatchObject([{ kind: "set-tunnel" }]);
  });

  it("keeps the MTU that the network was created with, which its containers use", () => {
    const observed = { ...convergedHost(NETWORK), uplinkMtu: 9_000 };
    expect(planNetwork(NETWORK, observed, HOST)).toMatchObject({ state: { kind: "ready" }, steps: [] });
  });

  it("derives the MTU from the uplink, and lowers it for a configured MTU or encryption", () => {
    const mtuWith = (network: typeof NETWORK, uplinkMtu: number, address = HOST.address) => {
      const [step] = planNetwork(network, observedWith({ uplinkMtu }), { ...HOST, address }).steps;
      return step?.kind === "create-network" ? step.body.Options["com.docker.network.driver.mtu"] : undefined;
    };
    expect(mtuWith(NETWORK, 1_500)).toBe("1450");
    expect(mtuWith(NETWORK, 9_000)).toBe("8950");
    expect(mtuWith(NETWORK, 1_500, "fd00::1")).toBe("1430");
    expect(mtuWith(networkWith({ spec: { mtu: 1_300 } }), 1_500)).toBe("1300");
    expect(mtuWith(networkWith({ spec: { mtu: 9_000 } }), 1_500)).toBe("1450");
    expect(mtuWith(networkWith({ mtu: 1_350 }), 1_500)).toBe("1350");
    expect(mtuWith(networkWith({ mtu: 8_950 }), 1_500)).toBe("1450");
    expect(mtuWith(networkWith({ spec: { encrypted: true } }), 1_500)).toBe("1370");
  });

  it("mtuProblems reports networks whose MTU exceeds what the uplink allows", () => {
    const host = { uplinkMtu: 1_400, address: HOST.address };
    expect(mtuProblems([networkWith({ mtu: 1_350 }), networkWith()], host)).toEqual([]);
    expect(mtuProblems([networkWith({ mtu: 1_450 })], host)).toEqual([
      expect.stringMatching(/^network shop_default: its MTU is 1450, but .* allows 1350/),
    ]);
    expect(mtuProblems([networkWith({ mtu: 1_450 })], { ...host, uplinkMtu: 0 })).toEqual([]);
  });

  it("removes a network whose settings changed, so that it is created again", () => {
    const changed = networkWith({ range: "10.64.2.0/25", gateway: "10.64.2.1" });
    const { state, steps } = planNetwork(changed, convergedHost(NETWORK), HOST);
    expect(state).toMatchObject({
      kind: "waiting",
      reason: expect.stringContaining("settings have changed"),
    });
    expect(steps).toEqual([{ kind: "remove-network", dockerId: "docker-net1" }]);
  });

  it("does not touch a foreign Docker network of the same name, and reports it", () => {
    const foreign = dockerNetworkOf(NETWORK, { id: "0123456789abcdef", networkId: "", config: "" });
    const { state, steps } = planNetwork(NETWORK, observedWith({ networks: [foreign] }), HOST);
    expect(steps).toEqual([]);
    expect(state).toEqual({
      kind: "waiting",
      reason:
        "this host already has a Docker network named shop_default (0123456789ab) that berth did not create; remove it",
    });
  });

  it("waits when the bridge does not exist on this host, or no device has the host's address", () => {
    const elsewhere = observedWith({ networks: [dockerNetworkOf(NETWORK)] });
    expect(planNetwork(NETWORK, elsewhere, HOST)).toMatchObject({
      state: { kind: "waiting", reason: expect.stringContaining("dockerd may be running elsewhere") },
      steps: [],
    });
    expect(planNetwork(NETWORK, observedWith({ uplinkMtu: 0 }), HOST)).toMatchObject({
      state: { kind: "waiting", reason: expect.stringContaining("10.0.0.1") },
      steps: [],
    });
  });

  it("refuses networks that the host does not support, and never replaces an encrypted one by a plain one", () => {
    const rootless = { ...HOST, overlayProblem: "Docker is rootless here" };
    expect(planNetwork(NETWORK, convergedHost(NETWORK), rootless)).toEqual({
      state: {
        kind: "refused",
        reason: "this host does not support overlay networks: Docker is rootless here",
      },
      steps: [],
    });
    const encrypted = networkWith({ spec: { encrypted: true } });
    const without = { ...HOST, encryptionProblem: "its kernel has no WireGuard" };
    expect(planNetwork(encrypted, observedWith(), without)).toEqual({
      state: {
        kind: "refused",
        reason: "this host does not support encrypted networks: its kernel has no WireGuard",
      },
      steps: [],
    });
  });
});

describe("virtual IPs", () => {
  it("planNetwork passes the packets of the bridge to nftables", () => {
    const { networks, links, ...rest } = convergedHost(NETWORK);
    const plain = new Map(links).set("bth4097", { ...bridgeOf(NETWORK), callsIptables: false });
    expect(planNetwork(NETWORK, { ...rest, networks, links: plain }, HOST)).toMatchObject({
      state: { kind: "ready" },
      steps: [{ kind: "filter-bridge", bridge: "bth4097" }],
    });
  });

  it("planHairpins enables hairpin mode on the ports of berth's bridges only", () => {
    const port = (name: string, fields: Parameters<typeof linkWith>[0] | object) =>
      linkWith({ name, kind: "veth", ...fields });
    const links = [
      port("veth1", { master: "bth4097" }),
      port("veth2", { master: "bth4097", isHairpin: true }),
      port("veth3", { master: "bth4097" }),
      port("veth4", { master: "docker0" }),
      tunnelOf(NETWORK),
    ];
    expect(planHairpins(links)).toEqual([{ kind: "set-hairpins", devices: ["veth1", "veth3"] }]);
    expect(planHairpins(links.filter(({ isHairpin }) => isHairpin))).toEqual([]);
  });
});

describe("planRemovals", () => {
  it("keeps assigned networks and networks that berth did not create", () => {
    const foreign = dockerNetworkOf(NETWORK, { id: "bridge", name: "bridge", networkId: "" });
    const { networks, ...rest } = convergedHost(NETWORK);
    expect(planRemovals([NETWORK], { ...rest, networks: [...networks, foreign] })).toEqual([]);
  });

  it("removes the Docker network first, and the tunnel device once the bridge is gone", () => {
    expect(planRemovals([], convergedHost(NETWORK))).toEqual([
      { kind: "remove-network", dockerId: "docker-net1" },
    ]);
    const bridgeless = observedWith({ links: [tunnelOf(NETWORK, { master: "" })] });
    expect(planRemovals([], bridgeless)).toEqual([{ kind: "delete-link", device: "btv4097" }]);
  });

  it("never removes another program's VXLAN device", () => {
    const flannel = tunnelOf(NETWORK, { name: "flannel.1", master: "" });
    expect(planRemovals([], observedWith({ links: [flannel] }))).toEqual([]);
  });
});
