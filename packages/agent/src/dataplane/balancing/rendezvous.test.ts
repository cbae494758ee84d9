import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BUCKETS, bucketOf, rendezvous } from "./rendezvous.js";

const buckets = Array.from({ length: BUCKETS }, (_, bucket) => bucket);
const members = fc
  .uniqueArray(fc.uuid(), { minLength: 2, maxLength: 12 })
  .map((ids) => ids.map((id) => ({ id })));

describe("rendezvous hashing", () => {
  it("moves only the buckets of a removed member, whatever the order", () => {
    fc.assert(
      fc.property(members, fc.nat(), (all, which) => {
        const gone = all[which % all.length];
        const rest = all.filter((member) => member !== gone).reverse();
        for (const bucket of buckets) {
          const before = rendezvous(bucket, all);
          if (before !== gone) expect(rendezvous(bucket, rest)).toBe(before);
        }
      }),
    );
  });

  it("gives each of four members about a quarter", () => {
    const four = ["a", "b", "c", "d"].map((name) => ({ id: `task-${name}` }));
    for (const { id } of four) {
      const share = buckets.filter((bucket) => rendezvous(bucket, four)?.id === id).length;
      expect(share).toBeGreaterThan(40);
      expect(share).toBeLessThan(90);
    }
  });

  it("puts an IPv4 address and its IPv6-mapped form into the same bucket", () => {
    expect(bucketOf("::ffff:10.0.0.7")).toBe(bucketOf("10.0.0.7"));
    expect(
      new Set(Array.from({ length: 200 }, (_, last) => bucketOf(`10.0.0.${last}`))).size,
    ).toBeGreaterThan(100);
    expect(bucketOf("fd00::1")).toBeLessThan(BUCKETS);
  });
});
