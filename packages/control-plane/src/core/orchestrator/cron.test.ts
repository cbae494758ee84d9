import { CronSpec, CronSpec_Concurrency, type CronStatus } from "@berth/proto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type CronDecision, decideCron } from "./cron.js";

const MINUTE_MS = 60_000;
const BASE_MS = 1_000 * MINUTE_MS;
const every5 = (over: Partial<CronSpec> = {}): CronSpec =>
  CronSpec.fromPartial({ schedule: "@every 300s", ...over });
const context = { running: 0, forceUpdate: 0, nowMs: BASE_MS };

function changed(decision: CronDecision): Extract<CronDecision, { kind: "change" }> {
  if (decision.kind !== "change") throw new Error(`it was ${decision.kind}`);
  return decision;
}

/** The status of a job that was first seen at the base time, and whose next time is five minutes later. */
const status = (cron = every5()): CronStatus => changed(decideCron(cron, undefined, context)).status;

test("decideCron begins no run when a job is new, and waits for the scheduled time", () => {
  const fresh = changed(decideCron(every5(), undefined, context));
  expect(fresh).toMatchObject({ begin: "none", status: { nextRunAtMs: BASE_MS + 5 * MINUTE_MS } });
  const nowMs = BASE_MS + MINUTE_MS;
  expect(decideCron(every5(), fresh.status, { ...context, nowMs })).toEqual({
    kind: "wait",
    atMs: BASE_MS + 5 * MINUTE_MS,
  });
});

test("decideCron runs a time missed by less than the deadline once, and skips older ones", () => {
  const cron = every5({ startingDeadlineMs: 2 * MINUTE_MS });
  const late = changed(decideCron(cron, status(cron), { ...context, nowMs: BASE_MS + 31 * MINUTE_MS }));
  expect(late).toMatchObject({ begin: "beside", status: { nextRunAtMs: BASE_MS + 35 * MINUTE_MS } });
  const again = decideCron(cron, late.status, { ...context, nowMs: BASE_MS + 31 * MINUTE_MS });
  expect(again.kind).toBe("wait");
  const tooLate = changed(decideCron(cron, status(cron), { ...context, nowMs: BASE_MS + 33 * MINUTE_MS }));
  expect(tooLate).toMatchObject({ begin: "none", status: { nextRunAtMs: BASE_MS + 35 * MINUTE_MS } });
  expect(tooLate.status.message).toBe(
    "skipped the run of 1970-01-01 16:45:00: it could not begin within 2m0s",
  );
});

test("decideCron applies a changed schedule at once", () => {
  const sooner = every5({ schedule: "@every 60s" });
  const decision = changed(decideCron(sooner, status(), { ...context, nowMs: BASE_MS + 1 }));
  expect(decision).toMatchObject({ begin: "none", status: { nextRunAtMs: BASE_MS + MINUTE_MS } });
});

test("decideCron explains why a schedule is invalid", () => {
  expect(decideCron(every5({ schedule: "never" }), undefined, context).kind).toBe("invalid");
});

test("decideCron limits the number of concurrent runs", () => {
  const cron = every5({ concurrency: CronSpec_Concurrency.ALLOW });
  const due = { ...context, nowMs: BASE_MS + 5 * MINUTE_MS };
  expect(changed(decideCron(cron, status(cron), { ...due, running: 99 })).begin).toBe("beside");
  expect(changed(decideCron(cron, status(cron), { ...due, running: 100 })).begin).toBe("none");
});

test("no scheduled time begins two runs, however the leader's clock jumps", () => {
  const jumps = fc.array(fc.integer({ min: -10 * MINUTE_MS, max: 20 * MINUTE_MS }), { maxLength: 50 });
  fc.assert(
    fc.property(jumps, (steps) => {
      let known = status();
      let nowMs = BASE_MS;
      const begun = new Set<number>();
      for (const step of steps) {
        nowMs = Math.max(BASE_MS, nowMs + step);
        const decision = decideCron(every5({ startingDeadlineMs: MINUTE_MS }), known, { ...context, nowMs });
        if (decision.kind !== "change") continue;
        known = decision.status;
        expect(known.nextRunAtMs).toBeGreaterThan(nowMs);
        if (decision.begin === "none") continue;
        const time = Math.floor(nowMs / (5 * MINUTE_MS));
        expect(begun).not.toContain(time);
        begun.add(time);
      }
    }),
  );
});
