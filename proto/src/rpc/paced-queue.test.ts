import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { PacedQueue } from "./paced-queue.js";

/** Uses this much CPU time. */
function work(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

it("handles all items in order, for a limited time in each turn of the event loop", async () => {
  const handled: number[] = [];
  const queue = new PacedQueue<number>(10, (item) => {
    work(4);
    handled.push(item);
  });
  for (let item = 0; item < 8; item += 1) queue.add(item);
  expect(handled).toEqual([]);
  const counts: number[] = [];
  while (handled.length < 8) {
    await setImmediate();
    counts.push(handled.length);
  }
  expect(handled).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(counts.length).toBeGreaterThanOrEqual(3);
});

it("handles one item in a turn, however long that takes", async () => {
  const handled: string[] = [];
  const queue = new PacedQueue<string>(0, (item) => handled.push(item));
  queue.add("a");
  queue.add("b");
  await setImmediate();
  expect(handled).toEqual(["a"]);
  await setImmediate();
  expect(handled).toEqual(["a", "b"]);
});

it("handles items that are added later", async () => {
  const handled: string[] = [];
  const queue = new PacedQueue<string>(10, (item) => handled.push(item));
  queue.add("a");
  await setImmediate();
  queue.add("b");
  await setImmediate();
  expect(handled).toEqual(["a", "b"]);
});
