import { describe, expect, it } from "vitest";
import { mtuProblems, planNetwork, planPorts, planRemovals } from "./plan-network.js";
import {
  bridgeOf,
  dockerNetworkOf,
  HOST,
  linkWith,
  networkWith,
  observedWith,
  settled,
  tunnelOf,
} from "./testing.js";

const NETWORK = networkWith();

describe("planNetwork", () => {
  it("makes Docker's network first: it brings the bridge", () => {
    const { state, steps } = planNetwork(NETWORK, observedWith(), HOST);
    expect(state).toEqual({ kind: "waiting", reason: "it is being made" });
    expect(steps).toMatchObject([{ kind: "create-network", body: { Name: "shop_default" } }]);
  });

  it("joins the bridge to the other hosts", () => {
    const observed = observedWith({ networks: [dockerNetworkOf(NETWORK)], links: [bridgeOf(NETWORK)] });
    expect(planNetwork(NETWORK, observed, HOST)).toEqual({
      state: { kind: "waiting", reason: "it is being joined to the other hosts" },
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

  it("is ready and does nothing when all is as it shall be", () => {
    expect(planNetwork(NETWORK, settled(NETWORK), HOST)).toEqual({
      state: { kind: "ready", dockerId: "docker-net1" },
      steps: [],
    });
  });

  it("is ready while hosts come and go", () => {
    const changed = networkWith({
      peers: [{ nodeId: "node4", address: "10.0.0.4", wireguardPublicKey: "" }],
    });
    const { state, steps } = planNetwork(changed, settled(NETWORK), HOST);
    expect(state.kind).toBe("ready");
    expect(steps).toEqual([
      { kind: "add-peer", device: "btv4097", peer: "10.0.0.4" },
      { kind: "remove-peer", device: "btv4097", peer: "10.0.0.2" },
      { kind: "remove-peer", device: "btv4097", peer: "10.0.0.3" },
    ]);
  });

  it("makes a device anew that is of another network or address, and puts back one that was taken away", () => {
    const planWith = (tunnel: Parameters<typeof tunnelOf>[1]) => {
      const { floodPeers, networks } = settled(NETWORK);
      const links = [bridgeOf(NETWORK), tunnelOf(NETWORK, tunnel)];
      return planNetwork(NETWORK, { ...observedWith({ networks, links }), floodPeers }, HOST).steps;
    };
    // The new one knows none of the hosts that the old one knew.
    const anew = ["delete-link", "add-tunnel", "add-peer", "add-peer"].map((kind) => ({ kind }));
    expect(planWith({ vni: 7 })).toMatchObject(anew);
    expect(planWith({ local: "10.0.0.9" })).toMatchObject(anew);
    expect(planWith({ master: "" })).toMatchObject([{ kind: "set-tunnel", bridge: "bth4097" }]);
    expect(planWith({ isUp: false })).toMatchObject([{ kind: "set-tunnel" }]);
  });

  it("keeps the MTU that the network was made with: its containers have it", () => {
    const observed = { ...settled(NETWORK), uplinkMtu: 9_000 };
    expect(planNetwork(NETWORK, observed, HOST)).toMatchObject({ state: { kind: "ready" }, steps: [] });
  });

  it("takes the MTU from the uplink, and less when the network or its encryption says so", () => {
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

  it("says when others send more than the uplink takes", () => {
    const host = { uplinkMtu: 1_400, address: HOST.address };
    expect(mtuProblems([networkWith({ mtu: 1_350 }), networkWith()], host)).toEqual([]);
    expect(mtuProblems([networkWith({ mtu: 1_450 })], host)).toEqual([
      expect.stringMatching(/^network shop_default: its packets have up to 1450 bytes, .* leaves 1350/),
    ]);
    expect(mtuProblems([networkWith({ mtu: 1_450 })], { ...host, uplinkMtu: 0 })).toEqual([]);
  });

  it("makes a network anew whose settings changed, once Docker lets it go", () => {
    const changed = networkWith({ range: "10.64.2.0/25", gateway: "10.64.2.1" });
    const { state, steps } = planNetwork(changed, settled(NETWORK), HOST);
    expect(state).toMatchObject({
      kind: "waiting",
      reason: expect.stringContaining("settings have changed"),
    });
    expect(steps).toEqual([{ kind: "remove-network", dockerId: "docker-net1" }]);
  });

  it("leaves somebody else's network of the name alone, and says so", () => {
    const foreign = dockerNetworkOf(NETWORK, { id: "0123456789abcdef", networkId: "", config: "" });
    const { state, steps } = planNetwork(NETWORK, observedWith({ networks: [foreign] }), HOST);
    expect(steps).toEqual([]);
    expect(state).toEqual({
      kind: "waiting",
      reason:
        "this host's Docker has a network shop_default (0123456789ab) that is not this one: remove that",
    });
  });

  it("waits when Docker's bridge is not on this host, or the host's address is on no device", () => {
    const elsewhere = observedWith({ networks: [dockerNetworkOf(NETWORK)] });
    expect(planNetwork(NETWORK, elsewhere, HOST)).toMatchObject({
      state: { kind: "waiting", reason: expect.stringContaining("does Docker run elsewhere") },
      steps: [],
    });
    expect(planNetwork(NETWORK, observedWith({ uplinkMtu: 0 }), HOST)).toMatchObject({
      state: { kind: "waiting", reason: expect.stringContaining("10.0.0.1") },
      steps: [],
    });
  });

  it("refuses for good what the host cannot do: never a plain network instead of an encrypted one", () => {
    const rootless = { ...HOST, refusal: "Docker is rootless here" };
    expect(planNetwork(NETWORK, settled(NETWORK), rootless)).toEqual({
      state: {
        kind: "refused",
        reason: "this host cannot have networks that span hosts: Docker is rootless here",
      },
      steps: [],
    });
    const encrypted = networkWith({ spec: { encrypted: true } });
    const without = { ...HOST, encryptionRefusal: "its kernel has no WireGuard" };
    expect(planNetwork(encrypted, observedWith(), without)).toEqual({
      state: {
        kind: "refused",
        reason: "it is encrypted, which this host cannot do: its kernel has no WireGuard",
      },
      steps: [],
    });
  });
});

describe("what virtual IPs need", () => {
  it("is a bridge that the kernel's tables see", () => {
    const { networks, links, ...rest } = settled(NETWORK);
    const plain = new Map(links).set("bth4097", { ...bridgeOf(NETWORK), callsIptables: false });
    expect(planNetwork(NETWORK, { ...rest, networks, links: plain }, HOST)).toMatchObject({
      state: { kind: "ready" },
      steps: [{ kind: "filter-bridge", bridge: "bth4097" }],
    });
  });

  it("is that containers' ports give back what is for themselves; others' ports are left alone", () => {
    const port = (name: string, fields: Parameters<typeof linkWith>[0] | object) =>
      linkWith({ name, kind: "veth", ...fields });
    const links = [
      port("veth1", { master: "bth4097" }),
      port("veth2", { master: "bth4097", isHairpin: true }),
      port("veth3", { master: "docker0" }),
      tunnelOf(NETWORK),
    ];
    expect(planPorts(observedWith({ links }))).toEqual([{ kind: "set-hairpin", device: "veth1" }]);
  });
});

describe("planRemovals", () => {
  it("leaves alone what is wanted and what is not ours", () => {
    const foreign = dockerNetworkOf(NETWORK, { id: "bridge", name: "bridge", networkId: "" });
    const { networks, ...rest } = settled(NETWORK);
    expect(planRemovals([NETWORK], { ...rest, networks: [...networks, foreign] })).toEqual([]);
  });

  it("asks Docker first, and takes the device when the bridge is gone", () => {
    expect(planRemovals([], settled(NETWORK))).toEqual([{ kind: "remove-network", dockerId: "docker-net1" }]);
    const bridgeless = observedWith({ links: [tunnelOf(NETWORK, { master: "" })] });
    expect(planRemovals([], bridgeless)).toEqual([{ kind: "delete-link", device: "btv4097" }]);
  });

  it("never takes another program's VXLAN device", () => {
    const flannel = tunnelOf(NETWORK, { name: "flannel.1", master: "" });
    expect(planRemovals([], observedWith({ links: [flannel] }))).toEqual([]);
  });
});
