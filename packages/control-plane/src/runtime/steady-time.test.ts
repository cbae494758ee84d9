import { expect, test } from "vitest";
import { steadyTime } from "./steady-time.js";

const MINUTE_MS = 60_000;

/** A host whose wall clock can be set. */
function host(atMs: number) {
  let monotonicMs = 0;
  let offsetMs = atMs;
  return {
    clock: { nowMs: () => monotonicMs, after: () => () => {} },
    wallClockMs: () => monotonicMs + offsetMs,
    pass: (ms: number) => {
      monotonicMs += ms;
    },
    set: (ms: number) => {
      offsetMs = ms - monotonicMs;
    },
  };
}

test("the leader's time follows the host's clock, also when it is set forward", () => {
  const one = host(1_000);
  const time = steadyTime(one, 0);
  one.pass(500);
  expect(time()).toBe(1_500);
  one.set(90_000);
  expect(time()).toBe(90_000);
});

test("the leader's time runs slower after the host's clock is set back, until both agree", () => {
  const one = host(10 * MINUTE_MS);
  const time = steadyTime(one, 0);
  one.set(9 * MINUTE_MS);
  expect(time()).toBe(10 * MINUTE_MS);
  one.pass(1_000);
  expect(time()).toBe(10 * MINUTE_MS + 800);
  one.pass(10 * MINUTE_MS);
  expect(time()).toBe(one.wallClockMs());
});

test("the leader's time starts at the latest record, unless that is hours ahead of the host's clock", () => {
  const one = host(MINUTE_MS);
  expect(steadyTime(one, 6 * MINUTE_MS)()).toBe(6 * MINUTE_MS);
  expect(steadyTime(one, 600 * MINUTE_MS)()).toBe(MINUTE_MS);
});

test.each([
  ["forward", 24 * 60],
  ["back", -24 * 60],
])(
  "the leader's time does not follow a clock that is set %s by a day, and reports it once",
  (_, stepMinutes) => {
    const one = host(100_000 * MINUTE_MS);
    const steps: number[] = [];
    const time = steadyTime(one, 0, (stepMs) => void steps.push(stepMs));
    one.set((100_000 + stepMinutes) * MINUTE_MS);
    expect(time()).toBe(100_000 * MINUTE_MS);
    one.pass(MINUTE_MS);
    expect(time()).toBe(100_000 * MINUTE_MS + 0.8 * MINUTE_MS);
    expect(steps).toEqual([stepMinutes * MINUTE_MS]);
    // The next term starts with the time that the clock shows.
    expect(steadyTime(one, 0)()).toBe(one.wallClockMs());
  },
);
