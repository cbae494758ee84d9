import { describe, expect, it } from "vitest";
import { parseTimingScale, scaleTiming, TIMING_SCALE, timingScaleProblem } from "./timing-scale.js";

describe("parseTimingScale()", () => {
  it.each([
    [undefined, 1],
    ["", 1],
    ["1", 1],
    ["2.5", undefined],
    ["60", 60],
    ["61", undefined],
    ["0.5", undefined],
    ["ten", undefined],
    ["1e1", undefined],
  ])("parses %j as %j", (text, scale) => {
    expect(parseTimingScale(text)).toBe(scale);
  });
});

it("timingScaleProblem() names the variable and the valid values", () => {
  expect(timingScaleProblem({})).toBeUndefined();
  expect(timingScaleProblem({ BERTH_TIMING_SCALE: "-1" })).toBe(
    'invalid BERTH_TIMING_SCALE "-1": must be a whole number from 1 to 60',
  );
});

it("scaleTiming() multiplies by the factor of the process", () => {
  expect(scaleTiming(15)).toBe(15 * TIMING_SCALE);
});
