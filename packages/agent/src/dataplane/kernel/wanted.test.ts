import { describe, expect, it } from "vitest";
import type { IngressEndpoint, IngressListener } from "../table/ingress-table.js";
import { selectPath } from "./ingress-mode.js";
import { deletionArguments, endsOnNodes, FlowEnds } from "./stale-connections.js";
import { desiredService } from "./wanted.js";

const far: IngressEndpoint = {
  id: "t1",
  node: "n1",
  address: "10.0.0.1",
  port: 32_768,
  route: { kind: "forward" },
};
const near: IngressEndpoint = {
  id: "t2",
  node: "n2",
  address: "10.0.0.2",
  port: 32_769,
  route: { kind: "direct", address: "172.17.0.2", port: 80, subnet: "172.17.0.0/16" },
};

function listener(more: Partial<IngressListener> = {}): IngressListener {
  return {
    protocol: "tcp",
    address: "",
    port: 80,
    service: "web",
    endpoints: [far, near],
    draining: [],
    ...more,
  };
}

const nobody: ReadonlySet<string> = new Set();

describe("what the kernel shall do for a listener", () => {
  it("reaches replicas elsewhere by Docker's port, and those here by their own address", () => {
    expect(desiredService(listener(), nobody)).toEqual({
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
    ["nobody is there", { endpoints: [] }],
    ["PROXY protocol", { traffic: { proxyProtocol: true, affinity: "none", balance: "round-robin" } }],
    [
      "least connections",
      { traffic: { proxyProtocol: false, affinity: "none", balance: "least-connections" } },
    ],
    ["an IPv6 address", { address: "fd00::1" }],
    ["the loopback", { address: "127.0.0.1" }],
    ["a replica without a way", { endpoints: [far, { id: "t3", address: "10.0.0.3", port: 1 }] }],
    ["a replica on the loopback", { endpoints: [{ ...far, address: "127.0.0.1" }] }],
    ["a replica at an IPv6 address", { endpoints: [{ ...far, address: "fd00::1" }] }],
  ])("is nothing: %s", (_, more) => {
    expect(desiredService(listener(more), nobody)).toBeUndefined();
  });

  it("leaves suspect nodes out, but not all of them", () => {
    const ids = (suspects: readonly string[]): unknown =>
      desiredService(listener(), new Set(suspects))?.endpoints.map(({ id }) => id);
    expect(ids(["n1"])).toEqual(["t2"]);
    expect(ids(["n1", "n2"])).toEqual(["t1", "t2"]);
  });
});

describe("whose connections the kernel forgets", () => {
  it("forgets those of a replica that is in no list any more, and of a whole host at once", () => {
    const other: IngressEndpoint = { ...far, id: "t4", port: 32_770 };
    const ends = new FlowEnds();
    const first = listener({ endpoints: [far, other, near] });
    ends.add(first);
    expect(ends.drain()).toEqual([]);
    const draining = listener({ endpoints: [near], draining: [far, other] });
    ends.add(draining);
    ends.remove(first);
    expect(ends.drain()).toEqual([]);
    const one = listener({ endpoints: [near, other] });
    ends.add(one);
    ends.remove(draining);
    expect(ends.drain()).toEqual([{ protocol: "tcp", address: "10.0.0.1", port: 32_768 }]);
    ends.remove(one);
    ends.add(listener({ endpoints: [near] }));
    expect(ends.drain()).toEqual([{ protocol: "tcp", address: "10.0.0.1", port: undefined }]);
  });

  it("leaves the connections of a task alone that has got the address of the one before it", () => {
    const ends = new FlowEnds();
    const before = listener({ endpoints: [near] });
    ends.add(before);
    ends.add(listener({ endpoints: [{ ...near, id: "next" }] }));
    ends.remove(before);
    expect(ends.drain()).toEqual([]);
  });

  it("takes a task without a way for one that is still there", () => {
    const ends = new FlowEnds();
    const { route, ...lost } = near;
    const [before, after] = [listener({ endpoints: [near] }), listener({ endpoints: [lost] })];
    ends.add(before);
    ends.add(after);
    ends.remove(before);
    expect([route?.kind, ends.drain()]).toEqual(["direct", []]);
    ends.remove(after);
    expect(ends.drain()).toEqual([{ protocol: "tcp", address: "172.17.0.2", port: undefined }]);
  });

  it("tells conntrack of our own connections only", () => {
    expect(deletionArguments({ protocol: "udp", address: "10.0.0.1", port: 53 }).join(" ")).toBe(
      "--delete --proto udp --mark 0x200000/0x200000 --reply-src 10.0.0.1 --reply-port-src 53",
    );
  });

  it("forgets of a silent host what it has not answered, at each of its addresses, and no datagrams", () => {
    const listeners = [
      listener({ endpoints: [far, { ...far, id: "t4", port: 32_770 }, near] }),
      listener({ protocol: "udp", endpoints: [{ ...far, address: "10.0.0.7" }] }),
    ];
    const ends = endsOnNodes(listeners, new Set(["n1"]));
    expect(ends).toEqual([{ protocol: "tcp", address: "10.0.0.1", port: undefined }]);
    expect(ends.map((end) => deletionArguments(end, { isUnansweredOnly: true }).join(" "))).toEqual([
      "--delete --proto tcp --state SYN_SENT --mark 0x200000/0x200000 --reply-src 10.0.0.1",
    ]);
  });
});

describe("the choice of the path", () => {
  it("takes the kernel where it can, unless told otherwise", () => {
    expect(selectPath("auto", undefined).kernel).toBe(true);
    expect(selectPath("userspace", undefined)).toEqual({
      kernel: false,
      reason: "forced by --ingress userspace",
    });
    expect(selectPath("kernel", "nft is not installed")).toEqual({
      kernel: false,
      reason: "nft is not installed",
    });
  });
});
