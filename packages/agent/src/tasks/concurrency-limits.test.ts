import { expect, test } from "vitest";
import { ConcurrencyLimit, changeLimit } from "./concurrency-limits.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("ConcurrencyLimit runs at most `maxRunning` effects, urgent ones first, and continues after a failure", async () => {
  const limit = new ConcurrencyLimit(2);
  const begun: string[] = [];
  const finish = new Map<string, () => void>();
  const run = (name: string, isUrgent = false): Promise<void> =>
    limit.run(
      () => {
        begun.push(name);
        return new Promise((resolve, reject) => {
          finish.set(name, name === "bad" ? () => reject(new Error(name)) : resolve);
        });
      },
      { isUrgent },
    );
  const bad = run("bad");
  bad.catch(() => {});
  const others = [run("a"), run("b"), run("urgent", true)];
  expect(begun).toEqual(["bad", "a"]);
  finish.get("bad")?.();
  await expect(bad).rejects.toThrow("bad");
  await turn();
  expect(begun).toEqual(["bad", "a", "urgent"]);
  finish.get("urgent")?.();
  await turn();
  expect(begun.at(-1)).toBe("b");
  finish.get("a")?.();
  finish.get("b")?.();
  await Promise.all(others);
});

test("changeLimit allows two changes for each processor, and from 2 to 6 in total", () => {
  expect([1, 2, 3, 64].map(changeLimit)).toEqual([2, 4, 6, 6]);
});
