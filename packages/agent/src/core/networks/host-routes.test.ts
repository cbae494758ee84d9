import { parseSubnet } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { conflictingRoute, directSubnets, parseRoutes } from "./host-routes.js";
import { planNetwork } from "./plan-network.js";
import { HOST, networkWith, observedWith } from "./testing.js";

/** Output of iproute2 6.1, without the fields that are not read. */
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

function conflictingDevice(text: string): string | undefined {
  const subnet = parseSubnet(text);
  return subnet && conflictingRoute(subnet, ROUTES)?.device;
}

describe("conflictingRoute", () => {
  it("returns directly connected subnets that overlap, and more specific routes", () => {
    expect(conflictingDevice("10.0.0.128/25")).toBe("eth0");
    expect(conflictingDevice("10.0.0.0/16")).toBe("eth0");
    expect(conflictingDevice("10.70.0.0/18")).toBe("eth0");
    expect(conflictingDevice("10.71.0.0/16")).toBe("");
    expect(conflictingDevice("172.17.5.0/24")).toBe("docker0");
    expect(conflictingDevice("100.100.1.0/24")).toBe("tailscale0");
    expect(conflictingDevice("10.75.0.0/18")).toBe("lo");
  });

  it("ignores default routes, less specific routes through a gateway, and berth's own networks", () => {
    expect(conflictingDevice("10.64.0.0/18")).toBeUndefined();
    expect(conflictingDevice("10.71.4.0/24")).toBeUndefined();
    expect(conflictingDevice("192.168.0.0/16")).toBeUndefined();
  });
});

it("directSubnets returns the directly connected subnets", () => {
  expect(directSubnets(ROUTES)).toEqual(["10.0.0.0/24", "100.100.0.0/16", "172.17.0.0/16"]);
});

it("planNetwork refuses a network whose subnet conflicts with a route of the host", () => {
  const routes = parseRoutes([{ dst: "10.64.5.0/24", dev: "eth1", scope: "link" }], []);
  expect(planNetwork(networkWith(), { ...observedWith(), routes }, HOST)).toEqual({
    state: {
      kind: "refused",
      reason:
        "BERTH_NETWORK_OVERLAP: subnet 10.64.0.0/18 overlaps 10.64.5.0/24, which this host reaches through eth1; choose a different subnet for the network (ipam), or a different --network-pool for the servers",
    },
    steps: [],
  });
});
