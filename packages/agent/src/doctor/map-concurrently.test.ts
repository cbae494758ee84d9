import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { mapConcurrently } from "./map-concurrently.js";

test("mapConcurrently keeps the order of the items, and limits the number of concurrent calls", async () => {
  const [active, activeCounts] = [new Set<number>(), new Set<number>()];
  const doubled = await mapConcurrently(3, [5, 4, 3, 2, 1, 0], async (turns) => {
    active.add(turns);
    activeCounts.add(active.size);
    for (let turn = 0; turn < turns; turn += 1) await setImmediate();
    active.delete(turns);
    return turns * 2;
  });
  expect(doubled).toEqual([10, 8, 6, 4, 2, 0]);
  expect(Math.max(...activeCounts)).toBe(3);
  expect(await mapConcurrently(3, [], async () => 1)).toEqual([]);
});

test("mapConcurrently rejects with the first failure, and starts no further call", async () => {
  const started: number[] = [];
  const map = async (item: number): Promise<void> => {
    started.push(item);
    await setImmediate();
    if (item === 1) throw new Error("no");
  };
  await expect(mapConcurrently(2, [0, 1, 2, 3, 4, 5], map)).rejects.toThrow("no");
  await setImmediate();
  await setImmediate();
  expect(started).not.toContain(5);
});
