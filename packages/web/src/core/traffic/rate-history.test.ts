import { describe, expect, it } from "vitest";
import { RateHistory } from "./rate-history.js";

describe("RateHistory", () => {
  it("returns the rates between reports", () => {
    const history = new RateHistory();
    history.add({ atMs: 1_000, count: 100, failed: 0 });
    history.add({ atMs: 1_500, count: 110, failed: 1 });
    history.add({ atMs: 1_500, count: 110, failed: 1 });
    history.add({ atMs: 3_500, count: 110, failed: 1 });
    expect(history.rates).toEqual([
      { atMs: 1_500, perSecond: 20, failedPerSecond: 2 },
      { atMs: 3_500, perSecond: 0, failedPerSecond: 0 },
    ]);
  });

  it("keeps a bounded number of rates", () => {
    const history = new RateHistory();
    for (let second = 0; second < 500; second += 1) {
      history.add({ atMs: second * 1_000, count: second, failed: 0 });
    }
    expect(history.rates).toHaveLength(120);
    expect(history.rates.at(-1)).toMatchObject({ atMs: 499_000, perSecond: 1 });
  });
});
