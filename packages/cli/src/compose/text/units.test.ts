import { describe, expect, test } from "vitest";
import { parseBytes, parseDurationMs, parseNanoCpus } from "./units.js";

const reason = (parsed: { kind: string; reason?: string }): string | undefined => parsed.reason;

test.each([
  ["10s", 10_000],
  ["1m30s", 90_000],
  ["1.5h", 5_400_000],
  ["1d", 86_400_000],
  ["0", 0],
  ["1us", 1],
])("parseDurationMs: %s is %d ms", (text, value) => {
  expect(parseDurationMs(text)).toEqual({ kind: "value", value });
});

test("parseDurationMs: explains invalid durations", () => {
  expect(
    ["10", "5 min", "", "-1s", "1x"].map((text) => reason(parseDurationMs(text))),
  ).toMatchInlineSnapshot(`
    [
      "the duration "10" has no unit; did you mean "10s"?",
      ""5 min" is not a duration; did you mean "5m"?",
      """ is not a duration; use a form such as 10s, 1m30s or 500ms",
      "the duration -1s is negative",
      ""1x" is not a duration; use a form such as 10s, 1m30s or 500ms",
    ]
  `);
});

test.each([
  ["50", 50],
  ["64M", 64 << 20],
  ["64mb", 64 << 20],
  ["1.5g", 1.5 * 2 ** 30],
  ["1 g", 2 ** 30],
  ["1GiB", 2 ** 30],
])("parseBytes: %s is %d", (text, value) => {
  expect(parseBytes(text)).toEqual({ kind: "value", value });
});

test("parseBytes: explains invalid sizes", () => {
  expect(
    ["512Mi", "unlimited", "-1", "", "9e99"].map((text) => reason(parseBytes(text))),
  ).toMatchInlineSnapshot(`
    [
      ""512Mi" is not a size; use 512M",
      ""unlimited" is not a size; use a form such as 64M or 1.5G, or a number of bytes",
      ""-1" is not a size; use a form such as 64M or 1.5G, or a number of bytes",
      """ is not a size; use a form such as 64M or 1.5G, or a number of bytes",
      "the size 9e99 is too large",
    ]
  `);
});

describe("parseNanoCpus", () => {
  test("accepts fractions", () =>
    expect(parseNanoCpus("0.25")).toEqual({ kind: "value", value: 250_000_000 }));
  test("explains invalid numbers", () => {
    expect(["500m", "abc", "100%"].map((text) => reason(parseNanoCpus(text)))).toMatchInlineSnapshot(`
      [
        ""500m" is not a number of CPUs; use 0.5",
        ""abc" is not a number of CPUs; use a number such as 0.5 or 2",
        ""100%" is not a number of CPUs; use a number such as 0.5 or 2",
      ]
    `);
  });
});
