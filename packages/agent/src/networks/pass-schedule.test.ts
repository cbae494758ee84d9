import { describe, expect, it } from "vitest";
import { PassSchedule } from "./pass-schedule.js";

const { signal } = new AbortController();

describe("PassSchedule", () => {
  it("returns a requested pass at once, and prefers a full one", async () => {
    const schedule = new PassSchedule();
    schedule.request("ports");
    expect(await schedule.waitForNextPass(signal)).toBe("ports");
    schedule.request("full");
    schedule.request("ports");
    expect(schedule.isFullPassRequested).toBe(true);
    expect(await schedule.waitForNextPass(signal)).toBe("full");
    expect(schedule.isFullPassRequested).toBe(false);
  });

  it("ends a pause with a request", async () => {
    const schedule = new PassSchedule();
    const next = schedule.waitForNextPass(signal);
    schedule.request("ports");
    expect(await next).toBe("ports");
  });

  it("does not pause with an aborted signal", async () => {
    const startedMs = performance.now();
    await new PassSchedule().waitForNextPass(AbortSignal.abort());
    // Far below the regular interval of 30 s, and the longest that a busy machine delays a timer.
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });
});
