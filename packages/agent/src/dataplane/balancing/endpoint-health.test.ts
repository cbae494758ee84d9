import { describe, expect, it } from "vitest";
import { afterFailure, HEALTHY, isEjected, needsProbe, startProbe } from "./endpoint-health.js";

describe("afterFailure", () => {
  it("ejects for 250 ms, doubled by each failed probe up to 8 s", () => {
    let health = HEALTHY;
    let nowMs = 0;
    const ejectionsMs: number[] = [];
    for (let probe = 0; probe < 8; probe += 1) {
      health = afterFailure(needsProbe(health, nowMs) ? startProbe(health, nowMs) : health, nowMs);
      ejectionsMs.push(health.ejectedUntilMs - nowMs);
      nowMs = health.ejectedUntilMs;
    }
    expect(ejectionsMs).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
  });

  it("counts a burst of failures as one", () => {
    const first = afterFailure(HEALTHY, 1_000);
    expect(afterFailure(first, 1_010)).toEqual(first);
  });
});

describe("startProbe", () => {
  it("ejects the endpoint during a probe and allows another probe if the result never arrives", () => {
    const probing = startProbe(afterFailure(HEALTHY, 0), 250);
    expect(isEjected(probing, 251)).toBe(true);
    expect(needsProbe(probing, 10_000)).toBe(true);
  });
});
