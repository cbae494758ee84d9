import type { ChildProcess } from "node:child_process";
import { expect, it } from "vitest";
import { restartDelay, SupervisedProcess } from "./supervised-process.js";

it("SupervisedProcess ends a process whose start callback fails, and reports one exit", async () => {
  const children: ChildProcess[] = [];
  const exits: string[] = [];
  await new Promise<void>((resolve) => {
    const supervised = new SupervisedProcess({
      command: () => ["sleep", "600"],
      stdio: "ignore",
      onStarted: (child) => {
        children.push(child);
        throw new Error("no reader");
      },
      onExited: (_ranMs, error) => {
        exits.push(error?.message ?? "no error");
        supervised.close();
        resolve();
      },
    });
  });
  expect(exits).toEqual(["no reader"]);
  expect(children.map(({ signalCode }) => signalCode)).toEqual(["SIGKILL"]);
});

it("restartDelay() doubles up to 5 minutes and starts at 1 s again after a stable run", () => {
  let delayMs = 0;
  const delays = Array.from({ length: 12 }, () => {
    delayMs = restartDelay(delayMs, 5);
    return delayMs;
  });
  expect(delays.slice(0, 4)).toEqual([1_000, 2_000, 4_000, 8_000]);
  expect(delays.at(-1)).toBe(300_000);
  expect(restartDelay(delayMs, 60_000)).toBe(1_000);
});
