import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyIndex } from "./history.js";

const key = fc.stringMatching(/^[ab/]{1,4}$/);
const command = fc.record({ kind: fc.constantFrom("toggle", "toggle", "toggle", "read"), key, after: key });

describe("KeyIndex", () => {
  it("iterates as a sorted set does, however adding, removing and reading alternate", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const index = new KeyIndex();
        const model = new Set<string>();
        for (const { kind, key: each, after } of commands) {
          if (kind === "read") {
            const expected = [...model].filter((other) => other.startsWith(each)).sort();
            expect([...index.startingWith(each)]).toEqual(expected);
            expect([...index.startingWith(each, after)]).toEqual(expected.filter((other) => other > after));
          } else if (model.delete(each)) {
            index.remove(each);
          } else {
            model.add(each);
            index.add(each);
          }
        }
      }),
    );
  });
});
