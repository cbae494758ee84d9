import { expect, it } from "vitest";
import { addRefusal, isNotListening, type Refusals } from "./refusals.js";

/** Returns the refusals of attempts at these times. */
function refusalsAt(...timesMs: readonly number[]): Refusals | undefined {
  return timesMs.reduce<Refusals | undefined>(addRefusal, undefined);
}

it("an endpoint that refuses connections for 5 s does not listen", () => {
  expect(isNotListening(undefined, 5_000)).toBe(false);
  expect(isNotListening(refusalsAt(0), 5_000)).toBe(false);
  expect(isNotListening(refusalsAt(0, 4_999), 4_999)).toBe(false);
  expect(isNotListening(refusalsAt(0, 2_500, 5_000), 5_000)).toBe(true);
});

it("refusals that are more than 10 s apart do not show that an endpoint does not listen", () => {
  expect(isNotListening(refusalsAt(0, 5_000), 15_000)).toBe(true);
  expect(isNotListening(refusalsAt(0, 5_000), 15_001)).toBe(false);
  expect(isNotListening(refusalsAt(0, 10_001), 10_001)).toBe(false);
});
