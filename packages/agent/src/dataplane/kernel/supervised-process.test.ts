import { expect, it } from "vitest";
import { restartDelay } from "./supervised-process.js";

it("is started again ever more rarely where it cannot run, and soon where it could", () => {
  let delayMs = 0;
  const delays = Array.from({ length: 12 }, () => {
    delayMs = restartDelay(delayMs, 5);
    return delayMs;
  });
  expect(delays.slice(0, 4)).toEqual([1_000, 2_000, 4_000, 8_000]);
  expect(delays.at(-1)).toBe(300_000);
  expect(restartDelay(delayMs, 60_000)).toBe(1_000);
});
