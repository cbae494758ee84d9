import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type IngressListener, listenerKey } from "./ingress-table.js";
import { diffTables } from "./table-diff.js";

const endpoint = fc.record({
  id: fc.constantFrom("a", "b"),
  address: fc.constantFrom("10.0.0.1", "10.0.0.2"),
  port: fc.constantFrom(80, 81),
});
const listener: fc.Arbitrary<IngressListener> = fc.record({
  protocol: fc.constantFrom("tcp", "udp"),
  address: fc.constantFrom("", "10.0.0.1"),
  port: fc.integer({ min: 1, max: 4 }),
  service: fc.constantFrom("web", "api"),
  endpoints: fc.array(endpoint, { maxLength: 2 }),
  draining: fc.array(endpoint, { maxLength: 1 }),
});
const table = fc.uniqueArray(listener, { selector: listenerKey });

function byKey(listeners: readonly IngressListener[]): ReadonlyMap<string, IngressListener> {
  return new Map(listeners.map((each) => [listenerKey(each), each]));
}

describe("diffTables", () => {
  it("leads from any table to any other, touching nothing that is the same in both", () => {
    fc.assert(
      fc.property(table, table, (before, after) => {
        const open = byKey(before);
        const diff = diffTables(open, after);
        const result = new Map(open);
        for (const key of diff.close) result.delete(key);
        for (const each of [...diff.open, ...diff.update]) result.set(listenerKey(each), each);
        expect(result).toEqual(byKey(after));
        for (const each of diff.update) expect(open.get(listenerKey(each))).not.toEqual(each);
        for (const each of diff.open) expect(open.has(listenerKey(each))).toBe(false);
      }),
    );
  });

  it("opens one listener when two ask for the same port", () => {
    const web = {
      protocol: "tcp",
      address: "",
      port: 80,
      service: "web",
      endpoints: [],
      draining: [],
    } as const;
    expect(diffTables(new Map(), [web, { ...web, service: "api" }]).open).toEqual([web]);
  });
});
