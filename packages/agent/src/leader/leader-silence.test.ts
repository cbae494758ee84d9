import { describe, expect, it } from "vitest";
import { LeaderSilence } from "./leader-silence.js";

/** Returns how long heartbeats continue until the leader counts as silent. */
function silentAfterMs(silence: LeaderSilence, { intervalMs = 250, fromMs = 0, lagMs = 0 }): number {
  for (let nowMs = fromMs; nowMs < fromMs + 60_000; nowMs += intervalMs) {
    if (silence.onHeartbeat({ nowMs, lagMs, intervalMs }).isSilent) return nowMs - fromMs;
  }
  return Number.POSITIVE_INFINITY;
}

describe("LeaderSilence", () => {
  it("requests an acknowledgement with the first heartbeat and every fourth after it", () => {
    const silence = new LeaderSilence(0);
    const asked = [0, 1, 2, 3, 4, 5].map(
      (nowMs) => silence.onHeartbeat({ nowMs, lagMs: 0, intervalMs: 250 }).requestsAck,
    );
    expect(asked).toEqual([true, false, false, false, true, false]);
  });

  it("counts a leader as silent after 3 s without a message", () => {
    expect(silentAfterMs(new LeaderSilence(0), {})).toBe(3_000);
    const silence = new LeaderSilence(0);
    silence.recordMessage(2_000);
    expect(silentAfterMs(silence, { fromMs: 2_000 })).toBe(3_000);
  });

  it("waits for two requests where heartbeats are rare", () => {
    expect(silentAfterMs(new LeaderSilence(0), { intervalMs: 1_000 })).toBe(8_000);
  });

  it("does not take the agent's own stall for silence of the leader", () => {
    const silence = new LeaderSilence(0);
    expect(silence.onHeartbeat({ nowMs: 30_000, lagMs: 29_750, intervalMs: 250 }).isSilent).toBe(false);
    expect(silentAfterMs(silence, { fromMs: 30_250 })).toBe(2_750);
  });
});
