import fc from "fast-check";
import { expect, it } from "vitest";
import { computeFdBudget } from "./fd-limits.js";

it("computeFdBudget() never exceeds the limit of open files", () => {
  expect(computeFdBudget(524_288, 1_000)).toEqual({ connections: 182_971, waiting: 26_138, flows: 65_536 });
  expect(computeFdBudget(256, 2)).toEqual({ connections: 66, waiting: 9, flows: 47 });
  fc.assert(
    fc.property(fc.nat(2_000_000), fc.nat(5_000), (limit, listeners) => {
      const { connections, waiting, flows } = computeFdBudget(limit, listeners);
      expect(Math.min(connections, waiting, flows)).toBeGreaterThanOrEqual(0);
      expect(2 * connections + waiting + flows).toBeLessThanOrEqual(Math.max(0, limit - listeners));
    }),
  );
});
