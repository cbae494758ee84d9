import { expect, test } from "vitest";
import { parseTail, parseTimeMs } from "./parse-options.js";

const AT = { option: "--since", nowMs: 1_000_000 };

test.each([
  ["2026-01-02T13:23:37Z", Date.UTC(2026, 0, 2, 13, 23, 37)],
  ["2026-01-02T14:23:37.5+01:00", Date.UTC(2026, 0, 2, 13, 23, 37, 500)],
  ["2026-01-02", Date.UTC(2026, 0, 2)],
  ["42", 42_000],
  ["10s", 990_000],
])("parseTimeMs accepts timestamps, seconds and durations: %s", (text, timeMs) => {
  expect(parseTimeMs(text, AT)).toBe(timeMs);
});

test.each([
  "yesterday 5",
  "min 10",
  "Jan 2",
  "2026-13-40",
  "2026-01-02T13:23:37Zulu",
  "-5s",
  "9".repeat(20),
  "",
])("parseTimeMs rejects text that is not a valid time: %s", (text) => {
  expect(() => parseTimeMs(text, AT)).toThrow(/--since: .* is not a timestamp/);
});

test("parseTail rejects fractions and negative numbers", () => {
  expect(parseTail("all")).toBe(-1);
  expect(parseTail("0")).toBe(0);
  for (const text of ["-1", "1.5", "1e3", "0x10", ""]) expect(() => parseTail(text)).toThrow(/--tail/);
});
