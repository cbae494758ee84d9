import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CounterAccumulator } from "./counter-accumulator.js";

const owner = (counter: string): string => counter.slice(0, 1);

describe("CounterAccumulator", () => {
  it("adds the increase of a counter, or its whole value after a reset", () => {
    const accumulator = new CounterAccumulator();
    accumulator.update(new Map([["a1", 5]]), owner);
    accumulator.update(new Map([["a1", 7]]), owner);
    expect(accumulator.getSum("a")).toBe(7);
    accumulator.update(new Map([["a1", 2]]), owner);
    expect(accumulator.getSum("a")).toBe(9);
    accumulator.update(new Map(), owner);
    accumulator.update(new Map([["a1", 1]]), owner);
    expect([accumulator.getSum("a"), accumulator.getSum("b")]).toEqual([10, 0]);
  });

  it("adds a counter without an owner to its last owner, if it ever had one", () => {
    const accumulator = new CounterAccumulator();
    accumulator.update(new Map([["a1", 1]]), owner);
    accumulator.update(
      new Map([
        ["a1", 3],
        ["b1", 9],
      ]),
      () => undefined,
    );
    expect([accumulator.getSum("a"), accumulator.getSum("b")]).toEqual([3, 0]);
    accumulator.keepOnly((kept) => kept !== "a");
    expect(accumulator.getSum("a")).toBe(0);
  });

  it("never decreases a sum", () => {
    const counters = fc.dictionary(fc.constantFrom("a1", "a2", "b1"), fc.nat(100));
    fc.assert(
      fc.property(fc.array(counters), (updates) => {
        const accumulator = new CounterAccumulator();
        let before = 0;
        for (const counters of updates) {
          accumulator.update(new Map(Object.entries(counters)), owner);
          expect(accumulator.getSum("a")).toBeGreaterThanOrEqual(before);
          before = accumulator.getSum("a");
        }
      }),
    );
  });
});
