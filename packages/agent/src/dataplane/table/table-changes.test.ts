import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type IngressListener, listenerKey } from "./ingress-table.js";
import { applyChange, diffListeners } from "./table-changes.js";

const endpoint = fc.record(
  {
    id: fc.constantFrom("a", "b"),
    address: fc.constantFrom("10.0.0.1", "10.0.0.2"),
    port: fc.constantFrom(80, 81),
  },
  { noNullPrototype: true },
);
const listener: fc.Arbitrary<IngressListener> = fc.record(
  {
    protocol: fc.constantFrom("tcp", "udp"),
    address: fc.constantFrom("", "10.0.0.1"),
    port: fc.integer({ min: 1, max: 4 }),
    service: fc.constantFrom("web", "api"),
    endpoints: fc.array(endpoint, { maxLength: 2 }),
    draining: fc.array(endpoint, { maxLength: 1 }),
  },
  { noNullPrototype: true },
);
const table = fc.uniqueArray(listener, { selector: listenerKey });

function byKey(listeners: readonly IngressListener[]): ReadonlyMap<string, IngressListener> {
  return new Map(listeners.map((each) => [listenerKey(each), each]));
}

describe("diffListeners", () => {
  it("turns any set of listeners into any other and leaves equal listeners alone", () => {
    fc.assert(
      fc.property(table, table, (before, after) => {
        const open = byKey(before);
        const diff = diffListeners(open, after);
        const result = new Map(open);
        for (const key of diff.close) result.delete(key);
        for (const each of [...diff.open, ...diff.update]) result.set(listenerKey(each), each);
        expect(result).toEqual(byKey(after));
        for (const each of diff.update) expect(open.get(listenerKey(each))).not.toEqual(each);
        for (const each of diff.open) expect(open.has(listenerKey(each))).toBe(false);
      }),
    );
  });

  it("opens the first of two listeners with the same port", () => {
    const web = {
      protocol: "tcp",
      address: "",
      port: 80,
      service: "web",
      endpoints: [],
      draining: [],
    } as const;
    expect(diffListeners(new Map(), [web, { ...web, service: "api" }]).open).toEqual([web]);
  });
});

describe("applyChange", () => {
  const listener = (port: number): IngressListener => {
    return { protocol: "tcp", address: "", port, service: "web", endpoints: [], draining: [] };
  };

  it("adds, replaces and removes listeners", () => {
    const table = { version: 3, listeners: [listener(1), listener(2), listener(3)] };
    const renamed = { ...listener(2), service: "api" };
    const change = { base: 3, version: 4, set: [renamed, listener(4)], removed: ["tcp//3"] };
    expect(applyChange(table, change)).toEqual({
      version: 4,
      listeners: [listener(1), renamed, listener(4)],
    });
  });

  it("rejects a change of another table version", () => {
    const change = { base: 1, version: 2, set: [], removed: [] };
    expect(() => applyChange({ version: 7, listeners: [] }, change)).toThrow(
      "change applies to table 1, but table 7 is in use",
    );
  });
});
