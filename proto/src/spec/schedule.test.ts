import fc from "fast-check";
import { expect, test } from "vitest";
import { parseSchedule, type Schedule } from "./schedule.js";

const MINUTE_MS = 60_000;

function schedule(text: string, zone = ""): Schedule {
  const parsed = parseSchedule(text, zone);
  if (parsed.kind === "invalid") throw new Error(parsed.reason);
  return parsed;
}

/** The next `count` times, without seconds. */
function times(text: string, zone: string, { after, count }: { after: string; count: number }): string[] {
  const { next } = schedule(text, zone);
  const found: string[] = [];
  for (let at = next(Date.parse(after)); at !== undefined && found.length < count; at = next(at)) {
    found.push(new Date(at).toISOString().slice(0, 16));
  }
  return found;
}

test("parseSchedule reads names, ranges, steps and lists", () => {
  expect(times("0-30/15 9,17 * JAN MON-FRI", "", { after: "2026-01-02T09:20:00Z", count: 3 })).toEqual([
    "2026-01-02T09:30",
    "2026-01-02T17:00",
    "2026-01-02T17:15",
  ]);
  expect(times("@weekly", "", { after: "2026-01-01T00:00:00Z", count: 1 })).toEqual(["2026-01-04T00:00"]);
});

test("parseSchedule takes either day when day of month and day of week are given", () => {
  expect(times("0 0 13 * FRI", "", { after: "2026-01-07T00:00:00Z", count: 3 })).toEqual([
    "2026-01-09T00:00",
    "2026-01-13T00:00",
    "2026-01-16T00:00",
  ]);
});

test("a time that summer time skips runs right after it, one that autumn repeats runs once", () => {
  const spring = { after: "2026-03-07T12:00:00Z", count: 2 };
  expect(times("30 2 * * *", "America/New_York", spring)).toEqual(["2026-03-08T07:00", "2026-03-09T06:30"]);
  const autumn = { after: "2026-10-31T12:00:00Z", count: 2 };
  expect(times("30 1 * * *", "America/New_York", autumn)).toEqual(["2026-11-01T05:30", "2026-11-02T06:30"]);
});

test("a schedule of every half hour keeps its interval when summer time starts or ends", () => {
  for (const after of ["2026-03-29T00:10:00Z", "2026-10-25T00:10:00Z"]) {
    const found = times("*/30 * * * *", "Europe/Berlin", { after, count: 6 });
    const minutes = found.map((at) => Date.parse(`${at}Z`) / MINUTE_MS);
    expect(minutes.slice(1).map((at, index) => at - (minutes[index] ?? 0))).toEqual([30, 30, 30, 30, 30]);
  }
});

test("@every gives multiples of its interval, counted from 1970", () => {
  const { next } = schedule("@every 1m30s");
  expect(next(0)).toBe(90_000);
  expect(next(90_000)).toBe(180_000);
  expect(next(179_999)).toBe(180_000);
});

test.each([
  ["* * * *", "", "schedule"],
  ["* * * * * *", "", "schedule"],
  ["61 * * * *", "", "schedule"],
  ["30-10 * * * *", "", "schedule"],
  ["0 0 30 2 *", "", "schedule"],
  ["2026-01-01T00:00:00", "", "schedule"],
  ["@reboot", "", "schedule"],
  ["@every 0s", "", "schedule"],
  ["@every soon", "", "schedule"],
  ["", "", "schedule"],
  ["* * * * *", "Nowhere/Town", "time_zone"],
  ["* * * * *", "+02:00", "time_zone"],
  ["@every 5s", "Nowhere/Town", "time_zone"],
])("parseSchedule refuses %j in zone %j and says why", (text, zone, field) => {
  expect(parseSchedule(text, zone)).toMatchObject({ kind: "invalid", field, reason: expect.any(String) });
});

const minute = fc.integer({ min: 0, max: 59 });
const hour = fc.integer({ min: 0, max: 23 });
const zone = fc.constantFrom("", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata");
const moment = fc.integer({ min: Date.parse("2024-01-01"), max: Date.parse("2034-01-01") });

test("every next time lies ahead, and its clock shows the minute asked for", () => {
  fc.assert(
    fc.property(minute, zone, moment, (at, timeZone, afterMs) => {
      const next = schedule(`${at} * * * *`, timeZone).next(afterMs) ?? 0;
      expect(next).toBeGreaterThan(afterMs);
      // An hour and a half: half an hour is skipped at most (Lord Howe), and the next hour has the minute.
      expect(next - afterMs).toBeLessThanOrEqual(90 * MINUTE_MS);
      expect(next % MINUTE_MS).toBe(0);
    }),
  );
});

test("a daily job runs once on each day, at its time unless that does not exist", () => {
  fc.assert(
    fc.property(minute, hour, zone, moment, (atMinute, atHour, timeZone, afterMs) => {
      const { next } = schedule(`${atMinute} ${atHour} * * *`, timeZone);
      const clock = new Intl.DateTimeFormat("sv", {
        timeZone: timeZone || "UTC",
        dateStyle: "short",
        timeStyle: "short",
      });
      const first = next(afterMs) ?? 0;
      const second = next(first) ?? 0;
      const [day, time = ""] = clock.format(first).split(" ");
      expect(clock.format(second).split(" ")[0]).not.toBe(day);
      const asked = `${String(atHour).padStart(2, "0")}:${String(atMinute).padStart(2, "0")}`;
      if (time !== asked) expect(hoursLater(time, asked)).toBeLessThanOrEqual(1);
    }),
  );
});

/** How much later a clock shows `time` than `asked`, within a day. */
function hoursLater(time: string, asked: string): number {
  const minutes = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
  return ((minutes(time) - minutes(asked) + 24 * 60) % (24 * 60)) / 60;
}
