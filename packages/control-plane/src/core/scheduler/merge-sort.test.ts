import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mergeSort } from "./merge-sort.js";

describe("mergeSort", () => {
  it("sorts like the built-in sort, which is stable (property)", () => {
    const item = fc.record({ key: fc.nat(9), place: fc.nat() });
    fc.assert(
      fc.property(fc.array(item, { maxLength: 70 }), (items) => {
        const original = [...items];
        expect(mergeSort(items, (a, b) => a.key < b.key)).toEqual([...items].sort((a, b) => a.key - b.key));
        expect(items).toEqual(original);
      }),
    );
  });
});
