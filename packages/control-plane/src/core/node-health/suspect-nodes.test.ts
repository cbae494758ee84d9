import { describe, expect, it } from "vitest";
import { nextFailoverPause } from "./suspect-nodes.js";

const NOW = 100_000;

describe("nextFailoverPause", () => {
  it("starts when more than half of the nodes become suspect within one window", () => {
    const two = [NOW - 250, NOW];
    expect(nextFailoverPause(undefined, { onsetsMs: two, upNodes: 3, nowMs: NOW })?.reason).toMatch(
      /2 of 3 nodes/,
    );
    expect(nextFailoverPause(undefined, { onsetsMs: two, upNodes: 4, nowMs: NOW })).toBeUndefined();
    expect(nextFailoverPause(undefined, { onsetsMs: two, upNodes: 2, nowMs: NOW })).toBeDefined();
  });

  it("does not start when nodes become suspect one after the other", () => {
    const onsetsMs = [NOW - 10_000, NOW];
    expect(nextFailoverPause(undefined, { onsetsMs, upNodes: 3, nowMs: NOW })).toBeUndefined();
  });

  it("does not start for a single suspect node", () => {
    for (const upNodes of [1, 2]) {
      expect(nextFailoverPause(undefined, { onsetsMs: [NOW], upNodes, nowMs: NOW })).toBeUndefined();
    }
  });

  it("lasts while more than half are suspect and keeps its start time", () => {
    const failoverPause = { sinceMs: NOW - 30_000, reason: "" };
    const onsetsMs = [NOW - 30_500, NOW - 30_000];
    expect(nextFailoverPause(failoverPause, { onsetsMs, upNodes: 3, nowMs: NOW })).toBe(failoverPause);
    expect(
      nextFailoverPause(failoverPause, { onsetsMs: onsetsMs.slice(1), upNodes: 3, nowMs: NOW }),
    ).toBeUndefined();
  });
});
