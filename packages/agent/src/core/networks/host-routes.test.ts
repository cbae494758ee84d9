import { parseSubnet } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { neighbourhoods, parseRoutes, routeInTheWay } from "./host-routes.js";
import { planNetwork } from "./plan-network.js";
import { HOST, networkWith, observedWith } from "./testing.js";

/** As iproute2 6.1 prints them, without what is not read. */
const ROUTES = parseRoutes(
  [
    { dst: "default", gateway: "10.0.0.254", dev: "eth0" },
    { dst: "128.0.0.0/1", dev: "tun0" },
    { dst: "10.0.0.0/24", dev: "eth0", protocol: "kernel", scope: "link" },
    { dst: "10.0.0.0/8", gateway: "10.0.0.253", dev: "eth0" },
    { dst: "10.70.3.0/24", gateway: "10.0.0.253", dev: "eth0" },
    { dst: "10.71.0.0/16", nexthops: [{ gateway: "10.0.0.253" }, { gateway: "10.0.0.252" }] },
    { dst: "172.17.0.0/16", dev: "docker0", scope: "link" },
    { dst: "10.64.0.0/18", dev: "bth4097", scope: "link" },
    { type: "local", dst: "10.0.0.1", dev: "eth0", table: "local" },
    { type: "broadcast", dst: "10.0.0.255", dev: "eth0", table: "local" },
    { dst: "100.100.0.0/16", dev: "tailscale0", table: "52" },
  ],
  [
    { ifname: "lo", addr_info: [{ local: "127.0.0.1" }, { local: "10.75.0.1" }, { local: "::1" }] },
    { ifname: "bth4097", addr_info: [{ local: "10.64.1.1" }] },
  ],
);

function inTheWayOf(text: string): string | undefined {
  const subnet = parseSubnet(text);
  return subnet && routeInTheWay(subnet, ROUTES)?.device;
}

describe("routeInTheWay", () => {
  it("is a neighbourhood that overlaps, or a route that would win", () => {
    expect(inTheWayOf("10.0.0.128/25")).toBe("eth0");
    expect(inTheWayOf("10.0.0.0/16")).toBe("eth0");
    expect(inTheWayOf("10.70.0.0/18")).toBe("eth0");
    expect(inTheWayOf("10.71.0.0/16")).toBe("");
    expect(inTheWayOf("172.17.5.0/24")).toBe("docker0");
    expect(inTheWayOf("100.100.1.0/24")).toBe("tailscale0");
    expect(inTheWayOf("10.75.0.0/18")).toBe("lo");
  });

  it("is neither a default route nor a wide one through a gateway, nor a network of ours", () => {
    expect(inTheWayOf("10.64.0.0/18")).toBeUndefined();
    expect(inTheWayOf("10.71.4.0/24")).toBeUndefined();
    expect(inTheWayOf("192.168.0.0/16")).toBeUndefined();
  });
});

it("the leader is told of neighbourhoods", () => {
  expect(neighbourhoods(ROUTES)).toEqual(["10.0.0.0/24", "100.100.0.0/16", "172.17.0.0/16"]);
});

it("a network is refused that something is in the way of, but not one that is there", () => {
  const routes = parseRoutes([{ dst: "10.64.5.0/24", dev: "eth1", scope: "link" }], []);
  expect(planNetwork(networkWith(), { ...observedWith(), routes }, HOST)).toEqual({
    state: {
      kind: "refused",
      reason:
        "BERTH_NETWORK_OVERLAP: its subnet 10.64.0.0/18 overlaps 10.64.5.0/24, which this host reaches by eth1: give the network another subnet (ipam), or the servers another --network-pool",
    },
    steps: [],
  });
});
