import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dropFirst, heapify, reorderFirst } from "./heap.js";

interface Item {
  value: number;
}
const before = (a: Item, b: Item): boolean => a.value < b.value;
const items = fc.array(
  fc.nat(20).map((value): Item => ({ value })),
  { maxLength: 40 },
);

describe("a heap", () => {
  it("returns its items in order (property)", () => {
    fc.assert(
      fc.property(items, (all) => {
        const sorted = all.map(({ value }) => value).sort((a, b) => a - b);
        heapify(all, before);
        const given: number[] = [];
        for (let first = all[0]; first !== undefined; first = all[0]) {
          given.push(first.value);
          dropFirst(all, before);
        }
        expect(given).toEqual(sorted);
      }),
    );
  });

  it("keeps the best item first when the first item becomes worse (property)", () => {
    fc.assert(
      fc.property(items, fc.array(fc.nat(20), { maxLength: 40 }), (all, losses) => {
        heapify(all, before);
        for (const loss of losses) {
          const [first] = all;
          if (first === undefined) return;
          expect(first.value).toBe(Math.min(...all.map(({ value }) => value)));
          first.value += loss;
          reorderFirst(all, before);
        }
      }),
    );
  });
});
