import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  buildKey,
  LEADER_KEY,
  MIGRATION_KEY,
  parseKey,
  parseVersionSegment,
  SCHEMA_KEY,
  versionSegment,
} from "./keys.js";

const segment = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,40}$/);
const version = fc.integer({ min: 0, max: 999_999_999_999 });

describe("parseKey", () => {
  it("parseKey is the inverse of buildKey", () => {
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 2 }), (segments) => {
        expect(parseKey(buildKey("tasks", segments))).toEqual({ collection: "tasks", segments });
      }),
    );
  });

  it("returns undefined for keys without segments, with too many, and for the leader and schema keys", () => {
    for (const key of ["nodes/", "tasks/a/b/c", "tasks/ä"]) {
      expect(parseKey(`/berth/v1/${key}`), key).toBeUndefined();
    }
    expect(parseKey(LEADER_KEY)).toBeUndefined();
    expect(parseKey(SCHEMA_KEY)).toBeUndefined();
    expect(parseKey(MIGRATION_KEY)).toBeUndefined();
  });
});

describe("buildKey", () => {
  it("refuses a segment that would reach into another key", () => {
    for (const id of ["", "a/b", "../x", "ä", "a b", "x".repeat(200)]) {
      expect(() => buildKey("tasks", ["service", id])).toThrow(RangeError);
    }
  });
});

describe("versionSegment", () => {
  it("sorts like the version, and parseVersionSegment is its inverse", () => {
    fc.assert(
      fc.property(version, version, (a, b) => {
        expect(versionSegment(a) < versionSegment(b)).toBe(a < b);
        expect(parseVersionSegment(versionSegment(a))).toBe(a);
      }),
    );
  });

  it("refuses numbers that are not versions", () => {
    for (const bad of [-1, 0.5, Number.NaN, 1e12]) expect(() => versionSegment(bad)).toThrow(RangeError);
  });
});
