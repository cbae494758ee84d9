import { describe, expect, it } from "vitest";
import { nextFreeze } from "./suspect-nodes.js";

const NOW = 100_000;

describe("nextFreeze()", () => {
  it("begins when more than half of the nodes fall silent within one window", () => {
    const two = [NOW - 250, NOW];
    expect(nextFreeze(undefined, { onsetsMs: two, upNodes: 3, now: NOW })?.why).toMatch(/2 of 3 nodes/);
    expect(nextFreeze(undefined, { onsetsMs: two, upNodes: 4, now: NOW })).toBeUndefined();
    expect(nextFreeze(undefined, { onsetsMs: two, upNodes: 2, now: NOW })).toBeDefined();
  });

  it("takes nodes that fell silent one after the other for what they are", () => {
    const onsetsMs = [NOW - 10_000, NOW];
    expect(nextFreeze(undefined, { onsetsMs, upNodes: 3, now: NOW })).toBeUndefined();
  });

  it("does not stop a cluster of one or two from losing one", () => {
    for (const upNodes of [1, 2]) {
      expect(nextFreeze(undefined, { onsetsMs: [NOW], upNodes, now: NOW })).toBeUndefined();
    }
  });

  it("lasts while more than half are silent, however long, and remembers when it began", () => {
    const freeze = { sinceMs: NOW - 30_000, why: "" };
    const onsetsMs = [NOW - 30_500, NOW - 30_000];
    expect(nextFreeze(freeze, { onsetsMs, upNodes: 3, now: NOW })).toBe(freeze);
    expect(nextFreeze(freeze, { onsetsMs: onsetsMs.slice(1), upNodes: 3, now: NOW })).toBeUndefined();
  });
});
