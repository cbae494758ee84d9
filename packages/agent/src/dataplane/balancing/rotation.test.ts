import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Rotation } from "./rotation.js";

const acceptAll = (): boolean => true;

function rotationOf(members: readonly string[]): Rotation<string> {
  const rotation = new Rotation<string>();
  rotation.replace(members);
  return rotation;
}

describe("Rotation", () => {
  it("picks every member once before any twice", () => {
    const rotation = rotationOf(["a", "b", "c"]);
    expect(Array.from({ length: 6 }, () => rotation.next(acceptAll))).toEqual(["a", "b", "c", "a", "b", "c"]);
  });

  it("keeps its position when the members are only reordered", () => {
    const rotation = rotationOf(["a", "b", "c"]);
    rotation.next(acceptAll);
    rotation.replace(["c", "b", "a"]);
    expect([rotation.next(acceptAll), rotation.next(acceptAll), rotation.next(acceptAll)]).toEqual([
      "b",
      "c",
      "a",
    ]);
  });

  it("picks a new member at the end of the round", () => {
    const rotation = rotationOf(["a", "b"]);
    rotation.next(acceptAll);
    rotation.replace(["new", "a", "b"]);
    expect([rotation.next(acceptAll), rotation.next(acceptAll), rotation.next(acceptAll)]).toEqual([
      "b",
      "a",
      "new",
    ]);
  });

  it("returns undefined when no member is accepted or the rotation is empty", () => {
    expect(rotationOf(["a"]).next(() => false)).toBeUndefined();
    expect(rotationOf([]).next(acceptAll)).toBeUndefined();
  });

  it("picks staying members equally often, give or take one, while others come and go", () => {
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
            const member = rotation.next(acceptAll) ?? "";
            const before = picks.get(member);
            if (before !== undefined) picks.set(member, before + 1);
          } else rotation.replace([...change, ...staying]);
        }
        expect(Math.max(...picks.values()) - Math.min(...picks.values())).toBeLessThanOrEqual(1);
      }),
    );
  });
});
