import { expect, it } from "vitest";
import { restartDelay } from "./supervised-process.js";

it("restartDelay() doubles up to 5 minutes and starts at 1 s again after a stable run", () => {
  let delayMs = 0;
  const delays = Array.from({ length: 12 }, () => {
    delayMs = restartDelay(delayMs, 5);
    return delayMs;
  });
  expect(delays.slice(0, 4)).toEqual([1_000, 2_000, 4_000, 8_000]);
  expect(delays.at(-1)).toBe(300_000);
  expect(restartDelay(delayMs, 60_000)).toBe(1_000);
});
