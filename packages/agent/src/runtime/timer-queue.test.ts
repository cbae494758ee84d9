import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TimerQueue } from "./timer-queue.js";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

test("TimerQueue calls back once for each key, with one timer", () => {
  const due: string[] = [];
  const queue = new TimerQueue({ onDue: (key) => due.push(key), now: Date.now });
  const startMs = Date.now();
  queue.set("late", startMs + 300);
  queue.set("soon", startMs + 100);
  queue.set("moved", startMs + 50);
  queue.set("moved", startMs + 200);
  queue.set("dropped", startMs + 100);
  queue.clear("dropped");
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(150);
  expect(due).toEqual(["soon"]);
  vi.advanceTimersByTime(1_000);
  expect(due).toEqual(["soon", "moved", "late"]);
  expect(vi.getTimerCount()).toBe(0);
});
