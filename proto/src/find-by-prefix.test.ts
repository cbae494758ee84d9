import { expect, test } from "vitest";
import { findByPrefix } from "./find-by-prefix.js";

const items = [{ id: "aa1" }, { id: "aa2" }, { id: "b" }];

function find(reference: string): { readonly id: string } {
  return findByPrefix(items, { noun: "CA", reference, idOf: ({ id }) => id, listCommand: "berth ca ls" });
}

test("findByPrefix returns the only item whose ID starts with the reference", () => {
  expect([find("aa2"), find("b")]).toEqual([{ id: "aa2" }, { id: "b" }]);
});

test.each([
  ["c", "BERTH_NOT_FOUND", 'CA "c" not found; see "berth ca ls"'],
  ["", "BERTH_NOT_FOUND", 'CA "" not found; see "berth ca ls"'],
  ["aa", "BERTH_AMBIGUOUS", 'CA "aa" is ambiguous: 2 IDs start with it; see "berth ca ls"'],
])("findByPrefix rejects the reference %j with %s", (reference, code, message) => {
  expect(() => find(reference)).toThrow(expect.objectContaining({ code, message }));
});

test("findByPrefix shortens a long reference in its error", () => {
  expect(() => find("x".repeat(1_000))).toThrow(`CA "${"x".repeat(80)}" not found`);
});
