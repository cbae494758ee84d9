import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CounterAccumulator } from "./counter-accumulator.js";

const owner = (counter: string): string => counter.slice(0, 1);

describe("Tally", () => {
  it("adds what came since the last look, and all of a counter that has begun anew", () => {
    const tally = new CounterAccumulator();
    tally.update(new Map([["a1", 5]]), owner);
    tally.update(new Map([["a1", 7]]), owner);
    expect(tally.sumOf("a")).toBe(7);
    tally.update(new Map([["a1", 2]]), owner);
    expect(tally.sumOf("a")).toBe(9);
    tally.update(new Map(), owner);
    tally.update(new Map([["a1", 1]]), owner);
    expect([tally.sumOf("a"), tally.sumOf("b")]).toEqual([10, 0]);
  });

  it("goes on with a counter whose owner has gone, and leaves out what nobody ever owned", () => {
    const tally = new CounterAccumulator();
    tally.update(new Map([["a1", 1]]), owner);
    tally.update(
      new Map([
        ["a1", 3],
        ["b1", 9],
      ]),
      () => undefined,
    );
    expect([tally.sumOf("a"), tally.sumOf("b")]).toEqual([3, 0]);
    tally.keepOnly((kept) => kept !== "a");
    expect(tally.sumOf("a")).toBe(0);
  });

  it("never falls", () => {
    const counters = fc.dictionary(fc.constantFrom("a1", "a2", "b1"), fc.nat(100));
    fc.assert(
      fc.property(fc.array(counters), (looks) => {
        const tally = new CounterAccumulator();
        let before = 0;
        for (const look of looks) {
          tally.update(new Map(Object.entries(look)), owner);
          expect(tally.sumOf("a")).toBeGreaterThanOrEqual(before);
          before = tally.sumOf("a");
        }
      }),
    );
  });
});
