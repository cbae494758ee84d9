import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { mapConcurrently } from "./map-concurrently.js";

test("mapAtMost() keeps the order, and has no more at work than it may", async () => {
  const [atWork, most] = [new Set<number>(), new Set<number>()];
  const doubled = await mapConcurrently(3, [5, 4, 3, 2, 1, 0], async (turns) => {
    atWork.add(turns);
    most.add(atWork.size);
    for (let turn = 0; turn < turns; turn += 1) await setImmediate();
    atWork.delete(turns);
    return turns * 2;
  });
  expect(doubled).toEqual([10, 8, 6, 4, 2, 0]);
  expect(Math.max(...most)).toBe(3);
  expect(await mapConcurrently(3, [], async () => 1)).toEqual([]);
});

test("mapAtMost() fails with the first failure, and begins nothing after it", async () => {
  const begun: number[] = [];
  const work = async (item: number): Promise<void> => {
    begun.push(item);
    await setImmediate();
    if (item === 1) throw new Error("no");
  };
  await expect(mapConcurrently(2, [0, 1, 2, 3, 4, 5], work)).rejects.toThrow("no");
  await setImmediate();
  await setImmediate();
  expect(begun).not.toContain(5);
});
