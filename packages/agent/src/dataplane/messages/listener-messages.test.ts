import { IngressEntry, PublishedListener, type TrafficSpec_Balance } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { IngressListener } from "../table/ingress-table.js";
import { formatListener, parseListener, parseListeners } from "./listener-messages.js";

const address = fc.ipV4();
const port = fc.integer({ min: 1, max: 65_535 });
const route = fc.oneof(
  fc.constant({ kind: "forward" as const }),
  fc.record({
    kind: fc.constant("direct" as const),
    address,
    port,
    subnet: fc.constantFrom("", "172.17.0.0/16"),
  }),
);
const endpoints = fc.uniqueArray(
  fc.record(
    { id: fc.uuid(), address, port, node: fc.constantFrom("n1", "n2"), route },
    { requiredKeys: ["id", "address", "port"] },
  ),
  { selector: ({ id }) => id, maxLength: 3 },
);
const traffic = fc.record({
  proxyProtocol: fc.boolean(),
  affinity: fc.constantFrom("none" as const, "source" as const),
  balance: fc.constantFrom("round-robin" as const, "least-connections" as const),
});
const listener: fc.Arbitrary<IngressListener> = fc.record(
  {
    protocol: fc.constantFrom("tcp", "udp"),
    address: fc.constantFrom("", "10.0.0.1", "::1"),
    port,
    service: fc.constantFrom("web", "api"),
    stack: fc.constantFrom("shop"),
    traffic,
    endpoints,
    draining: endpoints,
  },
  { requiredKeys: ["protocol", "address", "port", "service", "endpoints", "draining"] },
);

const web = (entry: Partial<IngressEntry> = {}): PublishedListener => {
  const endpoint = { taskId: "t1", nodeId: "n1", address: "10.0.0.1", port: 80 };
  return {
    entry: IngressEntry.fromPartial({ serviceName: "web", published: 8080, endpoints: [endpoint], ...entry }),
    local: [],
  };
};

describe("listener messages", () => {
  it("keeps listeners unchanged through formatting, encoding and parsing", () => {
    fc.assert(
      fc.property(listener, (original) => {
        const bytes = PublishedListener.encode(formatListener(original)).finish();
        expect(parseListener(PublishedListener.decode(bytes))).toEqual(original);
      }),
    );
  });

  it("reports an invalid listener and keeps the others", () => {
    const { listeners, invalid } = parseListeners([web(), web({ published: 70_000 })]);
    expect(listeners).toMatchObject([{ port: 8080, service: "web" }]);
    expect(invalid).toEqual([
      {
        protocol: "tcp",
        address: "",
        port: 70_000,
        service: "web",
        code: "EINVAL",
        message: "cannot publish port 70000 for web: invalid listener: 70000 is not a port",
      },
    ]);
  });

  it.each([
    [
      "a hostname as an endpoint address",
      web({ endpoints: [{ taskId: "t", nodeId: "", address: "db", port: 1 }] }),
    ],
    ["a hostname as the host address", web({ hostIp: "db.internal" })],
    ["no entry", { local: [] }],
    ["an nft command as a subnet", withLocal("172.17.0.2", "172.17.0.0/16; flush ruleset")],
    ["an nft command as a container address", withLocal("172.17.0.2 }", "")],
  ])("rejects listeners with %s", (_what, message) => {
    expect(parseListeners([message]).invalid).toMatchObject([{ code: "EINVAL" }]);
  });

  it("rejects a balancing policy of a newer release instead of using round robin", () => {
    const balance = 9 as TrafficSpec_Balance;
    const { listeners, invalid } = parseListeners([
      web({ traffic: { proxyProtocol: false, affinity: 0, balance } }),
    ]);
    expect(listeners).toEqual([]);
    expect(invalid[0]?.message).toContain("balancing policy 9 is not supported by this release");
  });
});

function withLocal(container: string, subnet: string): PublishedListener {
  return { ...web(), local: [{ taskId: "t1", container: { address: container, port: 80, subnet } }] };
}
