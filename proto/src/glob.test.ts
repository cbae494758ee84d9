import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesGlob } from "./glob.js";

const letters = (alphabet: string) => fc.string({ unit: fc.constantFrom(...alphabet), maxLength: 8 });

/** By definition: every way in which the first wildcard can match. */
function matchesSlowly(glob: string, text: string): boolean {
  const [first, ...rest] = glob;
  const tail = rest.join("");
  if (first === undefined) return text === "";
  if (first === "*") {
    return Array.from({ length: text.length + 1 }, (_, skip) => text.slice(skip)).some((left) =>
      matchesSlowly(tail, left),
    );
  }
  return text !== "" && (first === "?" || first === text[0]) && matchesSlowly(tail, text.slice(1));
}

describe("matchesGlob", () => {
  it("matches like a search over all ways to match (property)", () => {
    fc.assert(
      fc.property(letters("ab*?"), letters("ab"), (glob, text) => {
        expect(matchesGlob(glob, text)).toBe(matchesSlowly(glob, text));
      }),
      { numRuns: 1_000 },
    );
  });
});
