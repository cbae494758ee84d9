import { DnsEntry } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { planNetwork } from "./plan-network.js";
import { planContainers, remoteContainers } from "./remote-containers.js";
import { HOST, networkWith, observedWith, settled, tunnelOf } from "./testing.js";

const LISTED = networkWith({ staticFdb: true });
const MAC = "02:42:0a:40:02:02";

const endpoint = (nodeId: string, address: string, macAddress = "") => ({ nodeId, address, macAddress });
const entry = (parts: Parameters<typeof DnsEntry.fromPartial>[0]): DnsEntry =>
  DnsEntry.fromPartial({ key: "net1/web", networkId: "net1", ...parts });
const WEB = entry({ endpoints: [endpoint("node2", "10.64.2.2")] });
const CONTAINER = { address: "10.64.2.2", mac: MAC, host: "10.0.0.2" };

/** A host that knows these containers, and sends nothing to everybody. */
function listedHost(containers: readonly (typeof CONTAINER)[]) {
  const { networks, links } = settled(LISTED);
  return observedWith({
    networks,
    links: [...links.values(), tunnelOf(LISTED, { isLearning: false, suppressesNeighbours: true })],
    vxlanFdb: new Map([["btv4097", new Map(containers.map(({ mac, host }) => [mac, host]))]]),
    bridgeFdb: new Map([["btv4097", new Set(containers.map(({ mac }) => mac))]]),
    neighbours: new Map([[4_097, new Map(containers.map(({ address, mac }) => [address, mac]))]]),
  });
}

const stepsOf = (network: typeof LISTED, observed: ReturnType<typeof listedHost>, names = [WEB]) =>
  planNetwork(network, observed, HOST, names).steps.map((step) =>
    "peer" in step ? `${step.kind} ${step.peer}` : step.kind,
  );

describe("remoteContainers", () => {
  const containersIn = (...entries: DnsEntry[]) =>
    remoteContainers(LISTED, entries, ({ address }) => address);

  it("is every container of other hosts in the network, whatever it does", () => {
    const names = entry({
      endpoints: [endpoint("node1", "10.64.1.2"), endpoint("node2", "10.64.2.2")],
      draining: [endpoint("node3", "10.64.3.2", "de:ad:be:ef:00:01")],
      inactive: [endpoint("node3", "10.64.3.3")],
    });
    const elsewhere = entry({ networkId: "net2", endpoints: [endpoint("node2", "10.65.2.2")] });
    expect(containersIn(names, elsewhere)).toEqual([
      CONTAINER,
      { address: "10.64.3.2", mac: "de:ad:be:ef:00:01", host: "10.0.0.3" },
      { address: "10.64.3.3", mac: "02:42:0a:40:03:03", host: "10.0.0.3" },
    ]);
  });

  it("is where it answers, of an address that has moved; and nothing of what is no address", () => {
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

describe("a listed network", () => {
  it("is told its containers before it stops sending to everybody", () => {
    expect(stepsOf(LISTED, settled(LISTED))).toEqual([
      "set-static-fdb",
      "list-containers",
      "remove-peer 10.0.0.2",
      "remove-peer 10.0.0.3",
    ]);
  });

  it("is left alone when all is as it should be, and costs one entry for one change", () => {
    expect(stepsOf(LISTED, listedHost([CONTAINER]))).toEqual([]);
    const second = { address: "10.64.3.2", mac: "02:42:0a:40:03:02", host: "10.0.0.3" };
    const observed = listedHost([CONTAINER]);
    expect(planContainers(LISTED.vni, observed, [CONTAINER, second])).toMatchObject([
      { put: [second], gone: { vxlanFdb: [], bridgeFdb: [], neighbours: [] } },
    ]);
    expect(planContainers(LISTED.vni, observed, [])).toMatchObject([
      { put: [], gone: { vxlanFdb: [MAC], bridgeFdb: [MAC], neighbours: ["10.64.2.2"] } },
    ]);
    expect(planContainers(LISTED.vni, observed, [{ ...CONTAINER, host: "10.0.0.3" }])).toMatchObject([
      { put: [{ host: "10.0.0.3" }], gone: { vxlanFdb: [] } },
    ]);
  });

  it("sends to everybody again before it forgets, once hosts have gone", () => {
    expect(stepsOf(networkWith(), listedHost([CONTAINER]))).toEqual([
      "add-peer 10.0.0.2",
      "add-peer 10.0.0.3",
      "set-static-fdb",
      "list-containers",
    ]);
  });
});
