import { expect, test } from "vitest";
import { compareReleases } from "./compare-releases.js";

test.each([
  ["0.2.0", "0.10.0", -1],
  ["1.0.0", "0.9.9", 1],
  ["0.2.0", "0.2", 0],
  ["0.2.0", "0.2.0-1", -1],
])("compareReleases() compares %s with %s by number", (left, right, expected) => {
  expect(Math.sign(compareReleases(left, right))).toBe(expected);
});
