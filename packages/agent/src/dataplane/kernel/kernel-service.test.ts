import { describe, expect, it } from "vitest";
import type { IngressListener, TrafficRules } from "../table/ingress-table.js";
import { toKernelService } from "./kernel-service.js";
import { listenerWith, remoteEndpoint } from "./testing.js";

const NO_SUSPECTS: ReadonlySet<string> = new Set();
const ROUND_ROBIN = { proxyProtocol: false, affinity: "none", balance: "round-robin" } as const;

describe("toKernelService()", () => {
  it("reaches remote endpoints by Docker's port and local ones by their container address", () => {
    expect(toKernelService(listenerWith(), NO_SUSPECTS)).toEqual({
      frontend: { kind: "port", protocol: "tcp", port: 80 },
      balance: "round-robin",
      endpoints: [
        {
          id: "t1",
          node: "n1",
          address: "10.0.0.1",
          port: 32_768,
          clientAddress: "masqueraded",
          localSubnet: "",
        },
        {
          id: "t2",
          node: "n2",
          address: "172.17.0.2",
          port: 80,
          clientAddress: "preserved",
          localSubnet: "172.17.0.0/16",
        },
      ],
    });
  });

  it.each<[string, Partial<IngressListener>]>([
    ["no endpoints", { endpoints: [] }],
    ["PROXY protocol", { traffic: { ...ROUND_ROBIN, proxyProtocol: true } }],
    ["least connections", { traffic: { ...ROUND_ROBIN, balance: "least-connections" } }],
    ["an IPv6 address", { address: "fd00::1" }],
    ["a loopback address", { address: "127.0.0.1" }],
    [
      "an endpoint without a route",
      { endpoints: [remoteEndpoint, { id: "t3", address: "10.0.0.3", port: 1 }] },
    ],
    ["an endpoint on the loopback", { endpoints: [{ ...remoteEndpoint, address: "127.0.0.1" }] }],
    ["an endpoint with an IPv6 address", { endpoints: [{ ...remoteEndpoint, address: "fd00::1" }] }],
  ])("leaves a listener with %s to the user-space proxy", (_, more) => {
    expect(toKernelService(listenerWith(more), NO_SUSPECTS)).toBeUndefined();
  });

  it.each([
    ["balancing policy", { ...ROUND_ROBIN, balance: "weighted" }],
    ["affinity", { ...ROUND_ROBIN, affinity: "cookie" }],
  ])("leaves a listener with an unknown %s to the user-space proxy", (_, traffic) => {
    const listener = listenerWith({ traffic: traffic as unknown as TrafficRules });
    expect(toKernelService(listener, NO_SUSPECTS)).toBeUndefined();
  });

  it("hashes the client's address for source affinity", () => {
    const listener = listenerWith({ traffic: { ...ROUND_ROBIN, affinity: "source" } });
    expect(toKernelService(listener, NO_SUSPECTS)?.balance).toBe("source-hash");
  });

  it("leaves out endpoints on suspect nodes unless all nodes are suspect", () => {
    const ids = (suspects: readonly string[]): unknown =>
      toKernelService(listenerWith(), new Set(suspects))?.endpoints.map(({ id }) => id);
    expect(ids(["n1"])).toEqual(["t2"]);
    expect(ids(["n1", "n2"])).toEqual(["t1", "t2"]);
  });
});
