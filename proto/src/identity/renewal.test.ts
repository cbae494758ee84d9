import { describe, expect, it } from "vitest";
import { renewalState } from "./renewal.js";

const facts = { notBeforeMs: 1_000, notAfterMs: 2_000 };
const stateAt = (nowMs: number, jitter = 0.5) => renewalState(facts, nowMs, { graceMs: 500, jitter });

describe("renewalState()", () => {
  it("renews after half of the validity, with jitter in both directions", () => {
    expect(stateAt(1_499)).toEqual({ kind: "current", renewAtMs: 1_500 });
    expect(stateAt(1_500)).toEqual({ kind: "due", expiresAtMs: 2_000 });
    expect(stateAt(1_400, 0)).toMatchObject({ kind: "due" });
    expect(stateAt(1_599, 1)).toEqual({ kind: "current", renewAtMs: 1_600 });
  });

  it("allows a renewal during the grace period, and requires a join after it", () => {
    expect(stateAt(2_000)).toMatchObject({ kind: "due" });
    expect(stateAt(2_001)).toEqual({ kind: "grace", untilMs: 2_500 });
    expect(stateAt(2_500)).toMatchObject({ kind: "grace" });
    expect(stateAt(2_501)).toEqual({ kind: "expired", expiredAtMs: 2_000 });
  });
});
