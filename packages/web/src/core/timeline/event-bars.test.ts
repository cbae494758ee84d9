import { describe, expect, it } from "vitest";
import { BAR_COUNT, eventBars } from "./event-bars.js";

describe("eventBars", () => {
  it("counts events by their time, and marks parts with a problem", () => {
    const events = [
      { timeMs: 999, isWarning: true },
      { timeMs: 1_000, isWarning: false },
      { timeMs: 1_001, isWarning: true },
      { timeMs: 2_000, isWarning: false },
    ];
    expect(eventBars(events, { startMs: 1_000, endMs: 2_000 })).toEqual([
      { index: 0, events: 2, hasProblem: true },
      { index: BAR_COUNT - 1, events: 1, hasProblem: false },
    ]);
  });

  it("has no bars for an empty range", () => {
    expect(eventBars([{ timeMs: 5, isWarning: false }], { startMs: 5, endMs: 5 })).toEqual([]);
  });
});
