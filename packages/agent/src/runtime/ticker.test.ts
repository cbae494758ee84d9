import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Ticker } from "./ticker.js";

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_020 });
});
afterEach(() => {
  vi.useRealTimers();
});

const startTicker = (signal = new AbortController().signal): Ticker =>
  new Ticker({ signal, now: () => Date.now() });

describe("Ticker", () => {
  it("runs callbacks that are due at about the same time in one wake-up", async () => {
    const ticker = startTicker();
    const acts: string[] = [];
    const note = (name: string) => () => acts.push(`${name} ${Date.now() - 1_000_000}`);
    ticker.every(100, note("a"));
    await vi.advanceTimersByTimeAsync(30);
    ticker.every(150, note("b"));
    await vi.advanceTimersByTimeAsync(360);
    // 1,000,050 is a multiple of 150.
    expect(acts).toEqual(["a 100", "a 200", "b 200", "a 300", "b 350", "a 400"]);
  });

  it("reports its lateness and continues at the next multiple", async () => {
    const ticker = startTicker();
    const lags: number[] = [];
    ticker.every(100, (lagMs) => lags.push(lagMs));
    vi.setSystemTime(1_000_370);
    await vi.advanceTimersByTimeAsync(80);
    expect(lags).toEqual([350]);
    await vi.advanceTimersByTimeAsync(100);
    expect(lags).toEqual([350, expect.any(Number)]);
  });

  it("stops one callback, also from within another, and all with its signal", async () => {
    const over = new AbortController();
    const ticker = startTicker(over.signal);
    const acts: string[] = [];
    let stopSecond = (): void => {};
    ticker.every(100, () => {
      acts.push("first");
      stopSecond();
    });
    stopSecond = ticker.every(100, () => acts.push("second"));
    let isNext = false;
    void ticker.next(200, new AbortController().signal).then(() => {
      isNext = true;
    });
    await vi.advanceTimersByTimeAsync(190);
    expect([acts, isNext]).toEqual([["first", "first"], true]);
    over.abort();
    ticker.every(100, () => acts.push("late"));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(acts).toEqual(["first", "first"]);
  });
});
