import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { DelayQueue } from "./delay-queue.js";

describe("DelayQueue", () => {
  it("emits each key once, at the earliest of its times, in order (property)", async () => {
    const items = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d", "e"), fc.nat(1_000)), {
      maxLength: 50,
    });
    await fc.assert(
      fc.asyncProperty(items, async (added) => {
        const clock = new ManualClock();
        const seen: (readonly [string, number])[] = [];
        const queue = new DelayQueue(clock, (key) => seen.push([key, clock.nowMs()]));
        const earliest = new Map<string, number>();
        for (const [key, ms] of added) {
          queue.add(key, ms);
          earliest.set(key, Math.min(ms, earliest.get(key) ?? Number.POSITIVE_INFINITY));
        }
        await clock.advance(1_000);
        expect(new Map(seen)).toEqual(earliest);
        expect(seen).toHaveLength(earliest.size);
        expect(seen.map(([, ms]) => ms)).toEqual([...earliest.values()].sort((a, b) => a - b));
        expect(queue.size).toBe(0);
      }),
    );
  });
});
