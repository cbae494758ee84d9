import { expect, test } from "vitest";
import { compareVersions } from "./compare-versions.js";

test.each([
  ["0.2.0", "0.10.0", -1],
  ["1.0.0", "0.9.9", 1],
  ["0.2.0", "0.2", 0],
  ["0.2.0", "0.2.0-1", -1],
  ["1.41", "1.9", 1],
  ["1.41", "1.41", 0],
])("compareVersions() compares %s with %s by number", (left, right, expected) => {
  expect(Math.sign(compareVersions(left, right))).toBe(expected);
});
