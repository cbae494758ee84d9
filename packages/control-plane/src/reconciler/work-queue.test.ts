import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { WorkQueue } from "./work-queue.js";

const never = new AbortController().signal;

describe("WorkQueue", () => {
  it("returns a key once however often it is added, and again when it is added while in work", async () => {
    const queue = new WorkQueue(new ManualClock());
    queue.add("a");
    queue.add("a");
    queue.add("b");
    expect(await queue.take(never)).toBe("a");
    expect(await queue.take(never)).toBe("b");
    queue.add("a");
    expect(queue.depth).toBe(1);
    const next = queue.take(never);
    queue.done("b");
    queue.done("a");
    expect(await next).toBe("a");
    expect(queue.depth).toBe(0);
  });

  it("gives a delayed key at the earliest of its times, once", async () => {
    const clock = new ManualClock();
    const queue = new WorkQueue(clock);
    queue.addAfter("a", 500);
    queue.addAfter("a", 100);
    queue.addAfter("a", 300);
    await clock.advance(99);
    expect(queue.depth).toBe(0);
    await clock.advance(1);
    expect(await queue.take(never)).toBe("a");
    queue.done("a");
    await clock.advance(1_000);
    expect(queue.depth).toBe(0);
  });

  it("stops waiting when the signal aborts, without losing the next key", async () => {
    const queue = new WorkQueue(new ManualClock());
    const leaving = new AbortController();
    const left = queue.take(leaving.signal);
    const staying = queue.take(never);
    leaving.abort();
    expect(await left).toBeUndefined();
    queue.add("a");
    expect(await staying).toBe("a");
  });

  it("never hands out a key twice at a time, and never loses one (property)", async () => {
    const key = fc.constantFrom("a", "b", "c", "d");
    const step = fc.oneof(
      fc.record({ kind: fc.constant("add" as const), key }),
      fc.record({ kind: fc.constant("later" as const), key, ms: fc.nat(50) }),
      fc.record({ kind: fc.constant("finish" as const) }),
      fc.record({ kind: fc.constant("pass" as const), ms: fc.nat(60) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const clock = new ManualClock();
        const queue = new WorkQueue(clock);
        const over = new AbortController();
        const working = new Map<string, () => void>();
        const lastAdded = new Map<string, number>();
        const lastStarted = new Map<string, number>();
        let moment = 0;
        const work = async (): Promise<void> => {
          for (;;) {
            const taken = await queue.take(over.signal);
            if (taken === undefined) return;
            expect(working).not.toContain(taken);
            lastStarted.set(taken, ++moment);
            await new Promise<void>((resolve) => working.set(taken, resolve));
            working.delete(taken);
            queue.done(taken);
          }
        };
        const workers = [work(), work()];
        const finishOne = (): void => [...working.values()][0]?.();
        for (const each of steps) {
          if (each.kind === "add" || each.kind === "later") lastAdded.set(each.key, ++moment);
          if (each.kind === "add") {
            queue.add(each.key);
          } else if (each.kind === "later") {
            queue.addAfter(each.key, each.ms);
          } else if (each.kind === "finish") {
            finishOne();
          }
          await clock.advance(each.kind === "pass" ? each.ms : 0);
        }
        await clock.advance(100);
        while (working.size > 0) {
          finishOne();
          await clock.advance(100);
        }
        over.abort();
        await Promise.all(workers);
        for (const [added, at] of lastAdded) expect(lastStarted.get(added)).toBeGreaterThan(at);
      }),
      { numRuns: 50 },
    );
  });
});
