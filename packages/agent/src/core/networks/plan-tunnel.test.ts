import { DnsEntry } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { planNetwork } from "./plan-network.js";
import { planStaticEntries, remoteContainers } from "./plan-tunnel.js";
import { convergedHost, HOST, networkWith, observedWith, tunnelOf } from "./testing.js";

const STATIC = networkWith({ staticFdb: true });
const MAC = "02:42:0a:40:02:02";

const endpoint = (nodeId: string, address: string, macAddress = "") => ({ nodeId, address, macAddress });
const entry = (parts: Parameters<typeof DnsEntry.fromPartial>[0]): DnsEntry =>
  DnsEntry.fromPartial({ key: "net1/web", networkId: "net1", ...parts });
const WEB = entry({ endpoints: [endpoint("node2", "10.64.2.2")] });
const CONTAINER = { address: "10.64.2.2", macAddress: MAC, tunnelAddress: "10.0.0.2" };

/** A host with static entries for these containers and no flooding. */
function staticHost(containers: readonly (typeof CONTAINER)[]) {
  const { networks, links } = convergedHost(STATIC);
  return observedWith({
    networks,
    links: [...links.values(), tunnelOf(STATIC, { isLearning: false, suppressesNeighbors: true })],
    vxlanFdb: new Map([
      ["btv4097", new Map(containers.map(({ macAddress, tunnelAddress }) => [macAddress, tunnelAddress]))],
    ]),
    bridgeFdb: new Map([["btv4097", new Set(containers.map(({ macAddress }) => macAddress))]]),
    neighbors: new Map([
      [4_097, new Map(containers.map(({ address, macAddress }) => [address, macAddress]))],
    ]),
  });
}

const stepsOf = (network: typeof STATIC, observed: ReturnType<typeof staticHost>, names = [WEB]) =>
  planNetwork(network, observed, HOST, names).steps.map((step) =>
    "peer" in step ? `${step.kind} ${step.peer}` : step.kind,
  );

describe("remoteContainers", () => {
  const containersIn = (...entries: DnsEntry[]) =>
    remoteContainers(STATIC, entries, ({ address }) => address);

  it("returns the serving, draining and inactive containers on other hosts", () => {
    const names = entry({
      endpoints: [endpoint("node1", "10.64.1.2"), endpoint("node2", "10.64.2.2")],
      draining: [endpoint("node3", "10.64.3.2", "de:ad:be:ef:00:01")],
      inactive: [endpoint("node3", "10.64.3.3")],
    });
    const elsewhere = entry({ networkId: "net2", endpoints: [endpoint("node2", "10.65.2.2")] });
    expect(containersIn(names, elsewhere)).toEqual([
      CONTAINER,
      { address: "10.64.3.2", macAddress: "de:ad:be:ef:00:01", tunnelAddress: "10.0.0.3" },
      { address: "10.64.3.3", macAddress: "02:42:0a:40:03:03", tunnelAddress: "10.0.0.3" },
    ]);
  });

  it("prefers the serving endpoint of an address, and skips invalid addresses", () => {
    const moved = entry({
      endpoints: [endpoint("node2", "10.64.2.2", MAC)],
      draining: [endpoint("node3", "10.64.2.2", "de:ad:be:ef:00:01")],
      inactive: [
        endpoint("node3", "10.64.2.2", MAC),
        endpoint("node3", "x y", "10.64.2.2"),
        endpoint("node3", "10.64.3.4 nud none\n", "de:ad:be:ef:00:02"),
      ],
    });
    expect(containersIn(moved)).toEqual([CONTAINER]);
  });
});

describe("remoteContainers with a lying agent", () => {
  const containersIn = (...entries: DnsEntry[]) =>
    remoteContainers(STATIC, entries, ({ address }) => address);

  it("keeps the MAC address of a container on this host and of the container that it is derived for", () => {
    const first = entry({
      endpoints: [
        endpoint("node3", "10.64.3.2", "02:42:0a:40:01:02"),
        endpoint("node3", "10.64.3.3", "02:42:0a:40:02:02"),
        endpoint("node3", "10.64.3.4", "ff:ff:ff:ff:ff:ff"),
      ],
    });
    const second = entry({
      endpoints: [endpoint("node1", "10.64.1.2", ""), endpoint("node2", "10.64.2.2", MAC)],
    });
    expect(containersIn(first, second)).toEqual([
      { address: "10.64.3.4", macAddress: "02:42:0a:40:03:04", tunnelAddress: "10.0.0.3" },
      CONTAINER,
    ]);
  });

  it("ignores an endpoint of another host in the range of this host", () => {
    const names = entry({ endpoints: [endpoint("node3", "10.64.1.9", "de:ad:be:ef:00:01")] });
    expect(containersIn(names)).toEqual([]);
  });

  it("leaves out a peer without an address and keeps the others", () => {
    const peers = [
      { nodeId: "node2", address: "10.0.0.2\n- a second line", wireguardPublicKey: "" },
      { nodeId: "node3", address: "10.0.0.3", wireguardPublicKey: "" },
    ];
    expect(stepsOf(networkWith({ peers }), convergedHost(networkWith({ peers: [] })))).toEqual([
      "add-peer 10.0.0.3",
    ]);
  });
});

describe("a network with a static forwarding database", () => {
  it("adds the static entries before flooding stops", () => {
    expect(stepsOf(STATIC, convergedHost(STATIC))).toEqual([
      "set-static-fdb",
      "update-static-entries",
      "remove-peer 10.0.0.2",
      "remove-peer 10.0.0.3",
    ]);
  });

  it("changes nothing when it has converged, and one entry for one change", () => {
    expect(stepsOf(STATIC, staticHost([CONTAINER]))).toEqual([]);
    const second = { address: "10.64.3.2", macAddress: "02:42:0a:40:03:02", tunnelAddress: "10.0.0.3" };
    const observed = staticHost([CONTAINER]);
    expect(planStaticEntries(STATIC.vni, observed, [CONTAINER, second])).toMatchObject([
      { upserts: [second], stale: { vxlanFdb: [], bridgeFdb: [], neighbors: [] } },
    ]);
    expect(planStaticEntries(STATIC.vni, observed, [])).toMatchObject([
      { upserts: [], stale: { vxlanFdb: [MAC], bridgeFdb: [MAC], neighbors: ["10.64.2.2"] } },
    ]);
    expect(
      planStaticEntries(STATIC.vni, observed, [{ ...CONTAINER, tunnelAddress: "10.0.0.3" }]),
    ).toMatchObject([{ upserts: [{ tunnelAddress: "10.0.0.3" }], stale: { vxlanFdb: [] } }]);
  });

  it("starts flooding again before the static entries are removed", () => {
    expect(stepsOf(networkWith(), staticHost([CONTAINER]))).toEqual([
      "add-peer 10.0.0.2",
      "add-peer 10.0.0.3",
      "set-static-fdb",
      "update-static-entries",
    ]);
  });
});
