import { describe, expect, it } from "vitest";
import type { IngressListener } from "./ingress-table.js";
import { deltaOf, withDelta } from "./table-delta.js";

function listener(port: number, ids: readonly string[] = []): IngressListener {
  const endpoints = ids.map((id) => ({ id, address: "10.0.0.1", port: 80 }));
  return { protocol: "tcp", address: "", port, service: "web", endpoints, draining: [] };
}

describe("the delta of two tables", () => {
  it("holds what differs, and makes the one of the other", () => {
    const from = { version: 3, listeners: [listener(1), listener(2, ["a"]), listener(3)] };
    const to = { version: 4, listeners: [listener(1), listener(2, ["a", "b"]), listener(4)] };
    const delta = deltaOf(from, to);
    expect(delta).toEqual({
      base: 3,
      version: 4,
      set: [listener(4), listener(2, ["a", "b"])],
      removed: ["tcp//3"],
    });
    expect(withDelta(from, delta)).toEqual(to);
  });

  it("sees a new way to an endpoint and new rules for its traffic", () => {
    const plain = listener(1, ["a"]);
    const routed = {
      ...plain,
      endpoints: plain.endpoints.map((each) => ({ ...each, route: { kind: "forward" as const } })),
    };
    const traffic = { proxyProtocol: true, affinity: "none", balance: "round-robin" } as const;
    for (const changed of [routed, { ...plain, traffic }]) {
      expect(deltaOf({ version: 1, listeners: [plain] }, { version: 2, listeners: [changed] }).set).toEqual([
        changed,
      ]);
    }
  });

  it("is refused by another table", () => {
    const delta = deltaOf({ version: 1, listeners: [] }, { version: 2, listeners: [] });
    expect(() => withDelta({ version: 7, listeners: [] }, delta)).toThrow("table 7 serves, and not 1");
  });
});
