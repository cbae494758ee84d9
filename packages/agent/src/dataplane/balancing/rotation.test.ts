import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Rotation } from "./rotation.js";

const everyone = (): boolean => true;

function rotationOf(members: readonly string[]): Rotation<string> {
  const rotation = new Rotation<string>();
  rotation.replace(members);
  return rotation;
}

describe("Rotation", () => {
  it("offers every member once before any twice", () => {
    const rotation = rotationOf(["a", "b", "c"]);
    expect(Array.from({ length: 6 }, () => rotation.next(everyone))).toEqual(["a", "b", "c", "a", "b", "c"]);
  });

  it("keeps whose turn it is when the members are replaced by the same in another order", () => {
    const rotation = rotationOf(["a", "b", "c"]);
    rotation.next(everyone);
    rotation.replace(["c", "b", "a"]);
    expect([rotation.next(everyone), rotation.next(everyone), rotation.next(everyone)]).toEqual([
      "b",
      "c",
      "a",
    ]);
  });

  it("lets a newcomer wait for the end of the round", () => {
    const rotation = rotationOf(["a", "b"]);
    rotation.next(everyone);
    rotation.replace(["new", "a", "b"]);
    expect([rotation.next(everyone), rotation.next(everyone), rotation.next(everyone)]).toEqual([
      "b",
      "a",
      "new",
    ]);
  });

  it("gives undefined when nobody is acceptable or there", () => {
    expect(rotationOf(["a"]).next(() => false)).toBeUndefined();
    expect(rotationOf([]).next(everyone)).toBeUndefined();
  });

  it("serves members that stay within one of each other, whatever comes and goes in between", () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.constant("pick" as const) },
      { weight: 1, arbitrary: fc.uniqueArray(fc.constantFrom("x", "y", "z"), { maxLength: 3 }) },
    );
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 9 }), fc.array(step, { maxLength: 300 }), (count, steps) => {
        const staying = Array.from({ length: count }, (_, index) => `stays-${index}`);
        const rotation = rotationOf(staying);
        const picks = new Map(staying.map((member) => [member, 0]));
        for (const change of steps) {
          if (change === "pick") {
            const member = rotation.next(everyone) ?? "";
            const before = picks.get(member);
            if (before !== undefined) picks.set(member, before + 1);
          } else rotation.replace([...change, ...staying]);
        }
        expect(Math.max(...picks.values()) - Math.min(...picks.values())).toBeLessThanOrEqual(1);
      }),
    );
  });
});
