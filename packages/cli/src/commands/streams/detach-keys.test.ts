import { expect, test } from "vitest";
import { DetachScanner, parseDetachKeys } from "./detach-keys.js";

test("parseDetachKeys() accepts Docker's names of keys", () => {
  expect(parseDetachKeys("ctrl-p,ctrl-q")).toEqual([16, 17]);
  expect(parseDetachKeys("a,ctrl-[,ctrl-@,ctrl-Z")).toEqual([97, 27, 0, 26]);
  for (const invalid of ["", "ctrl-1", "ab", "ctrl-"]) {
    expect(() => parseDetachKeys(invalid)).toThrow(/--detach-keys/);
  }
});

/** Scans chunks, one after another. Returns the bytes that are passed on, and "!" when the client detaches. */
function scan(...chunks: readonly string[]): string {
  const scanner = new DetachScanner(parseDetachKeys("a,b,c"));
  let passed = "";
  for (const chunk of chunks) {
    const { bytes, isDetached } = scanner.scan(Buffer.from(chunk));
    passed += Buffer.from(bytes).toString();
    if (isDetached) return `${passed}!`;
  }
  return passed;
}

test.each([
  [["-abc-"], "-!"],
  [["a", "b", "c"], "!"],
  [["ab"], ""],
  [["ab", "x"], "abx"],
  [["a-abc"], "a-!"],
  [["abab", "c"], "ab!"],
  [["xyz"], "xyz"],
])("DetachScanner passes on everything but the sequence: %j", (chunks, expected) => {
  expect(scan(...chunks)).toBe(expected);
});
