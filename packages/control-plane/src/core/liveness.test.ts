import { NodeState } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { DOWN_AFTER_MS, judge } from "./liveness.js";

const context = { now: 100_000, leadingSinceMs: 0, lagMs: 0 };
const { READY, DOWN } = NodeState;

describe("judge()", () => {
  it("keeps a node that was heard of in time and says when to look again", () => {
    expect(judge({ state: READY, lastBeatMs: 98_000 }, context)).toEqual({
      kind: "unchanged",
      checkAtMs: 98_000 + DOWN_AFTER_MS,
    });
  });

  it("calls a silent node down and says for how long it was silent", () => {
    expect(judge({ state: READY, lastBeatMs: 96_900 }, context)).toEqual({
      kind: "down",
      reason: "no heartbeat for 3.1 s",
    });
  });

  it("says it once", () => {
    expect(judge({ state: DOWN, lastBeatMs: 1 }, context)).toEqual({ kind: "unchanged" });
  });

  it("blames its own lag first", () => {
    const late = { ...context, lagMs: 500 };
    expect(judge({ state: READY, lastBeatMs: 96_900 }, late).kind).toBe("unchanged");
    expect(judge({ state: READY, lastBeatMs: 96_500 }, late).kind).toBe("down");
  });

  it("brings a node back with its first beat", () => {
    expect(judge({ state: DOWN, lastBeatMs: 100_000 }, context).kind).toBe("ready");
  });

  it("gives every ready node one grace after a change of leader, and wakes no dead one", () => {
    const fresh = { ...context, leadingSinceMs: 99_000 };
    expect(judge({ state: READY, lastBeatMs: undefined }, fresh)).toEqual({
      kind: "unchanged",
      checkAtMs: 102_000,
    });
    expect(judge({ state: READY, lastBeatMs: undefined }, { ...fresh, now: 102_000 }).kind).toBe("down");
    expect(judge({ state: DOWN, lastBeatMs: undefined }, fresh)).toEqual({ kind: "unchanged" });
  });
});
