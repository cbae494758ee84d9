import { describe, expect, it } from "vitest";
import { freshness, isCurrent, type StreamCondition } from "./freshness.js";

const live: StreamCondition = {
  isConnected: true,
  lastMessageAtMs: 10_000,
  delayMs: 30,
  heartbeatMs: 2_000,
  reason: "",
};

describe("freshness", () => {
  it("the web UI is loading before the first snapshot, and cut off when the first attempt failed", () => {
    const first = { ...live, isConnected: false, lastMessageAtMs: undefined };
    expect(freshness(first, 0)).toEqual({ kind: "loading" });
    expect(freshness({ ...first, reason: "refused" }, 0).kind).toBe("cut-off");
  });

  it("the web UI is live up to 5 s after the last message, and cut off afterwards", () => {
    expect(freshness(live, 15_000)).toEqual({ kind: "live" });
    const silent = freshness(live, 15_001);
    expect(silent).toEqual({ kind: "cut-off", sinceMs: 10_000, reason: "the server is silent" });
    expect(isCurrent(silent)).toBe(false);
  });

  it("the web UI is cut off as soon as the stream has ended", () => {
    const ended = freshness({ ...live, isConnected: false, reason: "no leader" }, 10_001);
    expect(ended).toEqual({ kind: "cut-off", sinceMs: 10_000, reason: "no leader" });
  });

  it("the web UI is behind when messages arrive late", () => {
    const behind = freshness({ ...live, delayMs: 4_000 }, 10_100);
    expect(behind).toEqual({ kind: "behind", byMs: 4_000 });
    expect(isCurrent(behind)).toBe(true);
  });
});
