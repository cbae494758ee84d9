import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nameKey, nodeKey, parseKey, revisionKey, serverKey, serviceKey, taskKey } from "./keys.js";

const segment = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,40}$/);
const version = fc.integer({ min: 0, max: 999_999_999_999 });

describe("parseKey", () => {
  it("is the inverse of the builders", () => {
    fc.assert(
      fc.property(segment, segment, version, (id, other, number) => {
        expect(parseKey(serverKey(id))).toEqual({ kind: "server", serverId: id });
        expect(parseKey(nodeKey(id))).toEqual({ kind: "node", nodeId: id });
        expect(parseKey(serviceKey(id))).toEqual({ kind: "service", serviceId: id });
        expect(parseKey(nameKey(id))).toEqual({ kind: "name", serviceName: id });
        expect(parseKey(taskKey(id, other))).toEqual({ kind: "task", serviceId: id, taskId: other });
        expect(parseKey(revisionKey(id, number))).toEqual({
          kind: "revision",
          serviceId: id,
          version: number,
        });
      }),
    );
  });

  it("knows no key that the builders do not build", () => {
    const strangers = [
      "nodes/",
      "nodes/a/b",
      "tasks/a",
      "revisions/a/7",
      "revisions/a",
      "other/a",
      "tasks/a/b/c",
    ];
    for (const key of strangers) expect(parseKey(`/berth/v1/${key}`), key).toBeUndefined();
  });
});

describe("revisionKey", () => {
  it("sorts as the version does", () => {
    fc.assert(
      fc.property(version, version, (a, b) => {
        expect(revisionKey("s", a) < revisionKey("s", b)).toBe(a < b);
      }),
    );
  });
});

describe("key builders", () => {
  it("refuse an id that would reach into another key", () => {
    for (const id of ["", "a/b", "../x", "ä", "a b", "x".repeat(200)]) {
      expect(() => taskKey("service", id)).toThrow(RangeError);
      expect(() => nodeKey(id)).toThrow(RangeError);
    }
    for (const bad of [-1, 0.5, Number.NaN, 1e12]) expect(() => revisionKey("s", bad)).toThrow(RangeError);
  });
});
