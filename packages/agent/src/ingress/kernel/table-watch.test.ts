import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { restartDelay, TableWatch } from "./table-watch.js";

it("is started again ever more rarely where it cannot run, and soon where it could", () => {
  let delayMs = 0;
  const delays = Array.from({ length: 12 }, () => {
    delayMs = restartDelay(delayMs, 5);
    return delayMs;
  });
  expect(delays.slice(0, 4)).toEqual([1_000, 2_000, 4_000, 8_000]);
  expect(delays.at(-1)).toBe(300_000);
  expect(restartDelay(delayMs, 60_000)).toBe(1_000);
});

it("says once why it cannot watch, and has the rules looked at whenever it is started again", async () => {
  const warnings: unknown[] = [];
  let looks = 0;
  const watch = new TableWatch({
    log: { warn: (fields: unknown) => warnings.push(fields) },
    command: ["sh", "-c", "echo no right to do that >&2; exit 1"],
    onTable: () => {
      looks += 1;
    },
    onDocker: () => {},
  });
  await expect.poll(() => looks, { timeout: 3_000 }).toBe(1);
  await sleep(100);
  watch.close();
  expect(warnings).toEqual([{ reason: "no right to do that" }]);
});
