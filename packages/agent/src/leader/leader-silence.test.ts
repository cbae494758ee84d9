import { describe, expect, it } from "vitest";
import { LeaderSilence } from "./leader-silence.js";

/** Beats as long as the leader counts as there; says when it does not any more. */
function silentAfterMs(silence: LeaderSilence, { intervalMs = 250, fromMs = 0, lagMs = 0 }): number {
  for (let nowMs = fromMs; nowMs < fromMs + 60_000; nowMs += intervalMs) {
    if (silence.beat({ nowMs, lagMs, intervalMs }).isSilent) return nowMs - fromMs;
  }
  return Number.POSITIVE_INFINITY;
}

describe("LeaderSilence", () => {
  it("asks with the first beat and every fourth one after it", () => {
    const silence = new LeaderSilence(0);
    const asked = [0, 1, 2, 3, 4, 5].map((nowMs) => silence.beat({ nowMs, lagMs: 0, intervalMs: 250 }).asks);
    expect(asked).toEqual([true, false, false, false, true, false]);
  });

  it("gives a leader up after 3 s without a word", () => {
    expect(silentAfterMs(new LeaderSilence(0), {})).toBe(3_000);
    const silence = new LeaderSilence(0);
    silence.heard(2_000);
    expect(silentAfterMs(silence, { fromMs: 2_000 })).toBe(3_000);
  });

  it("waits for two questions where they are rare", () => {
    expect(silentAfterMs(new LeaderSilence(0), { intervalMs: 1_000 })).toBe(8_000);
  });

  it("does not take its own standing still for the leader's", () => {
    const silence = new LeaderSilence(0);
    expect(silence.beat({ nowMs: 30_000, lagMs: 29_750, intervalMs: 250 }).isSilent).toBe(false);
    expect(silentAfterMs(silence, { fromMs: 30_250 })).toBe(2_750);
  });
});
