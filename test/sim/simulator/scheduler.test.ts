import { expect, test } from "vitest";
import { Actor } from "./actor.js";
import { Scheduler } from "./scheduler.js";
import { timerMs } from "./virtual-time.js";

test("delivers the events of a paused process in order when it is resumed, unless they are canceled before", async () => {
  const scheduler = new Scheduler();
  const actor = new Actor("program", "host");
  const ran: string[] = [];
  let cancel: () => void = () => {};
  scheduler.after(1, undefined, () => scheduler.pause(actor));
  scheduler.after(2, actor, () => {
    ran.push(`first at ${scheduler.nowMs}`);
    cancel();
  });
  cancel = scheduler.after(3, actor, () => void ran.push("canceled"));
  scheduler.after(4, actor, () => void ran.push(`last at ${scheduler.nowMs}`));
  scheduler.after(9, undefined, () => scheduler.resume(actor));
  await scheduler.runUntil(20);
  expect(ran).toEqual(["first at 9", "last at 9"]);
});

test("runs no event of a process that was killed", async () => {
  const scheduler = new Scheduler();
  const actor = new Actor("program", "host");
  scheduler.after(1, undefined, () => actor.kill());
  let hasRun = false;
  scheduler.after(2, actor, () => {
    hasRun = true;
  });
  await scheduler.runUntil(5);
  expect(hasRun).toBe(false);
});

test.each([
  [0, 1],
  [0.4, 1],
  [1.9, 1],
  [250, 250],
])("a timer of %d ms takes %d ms, as in Node.js", (asked, given) => {
  expect(timerMs(asked)).toBe(given);
});
