import { Cron } from "croner";

const EVERY = /^@every\s+((?:\d+(?:h|m|s))+)$/;
const UNIT_MS = { h: 3_600_000, m: 60_000, s: 1_000 } as const;
/** Shorter pauses are a service, not a schedule. */
const MIN_EVERY_MS = 1_000;
const NICKNAMES = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"] as const;
const EXAMPLES = `five fields like "30 2 * * *", ${NICKNAMES[0]} and its like, or "@every 90s"`;
/** Longer than any schedule that a person would write. */
const MAX_LENGTH = 256;

/** When a job runs; `afterMs` and the result are milliseconds since 1970. */
export interface Schedule {
  readonly kind: "schedule";
  /** The first time after `afterMs`, never at it; undefined when there is none. */
  readonly next: (afterMs: number) => number | undefined;
}

export type ParsedSchedule =
  | Schedule
  /** `field` names what is wrong of the two. */
  | { readonly kind: "invalid"; readonly field: "schedule" | "time_zone"; readonly reason: string };

/**
 * Reads a schedule: minute, hour, day of month, month and day of week as cron has them (lists, ranges, steps, names;
 * where both days are given, either is enough), a nickname, or `@every` with hours, minutes and seconds.
 *
 * Fields are those of a clock in `timeZone` (an IANA name; empty: UTC). A time that the change to summer time skips
 * runs right after it, one that comes twice in autumn runs once; what runs every so many minutes or hours goes on
 * evenly through both. `@every` counts from 1970, so that it comes at the same times whoever asks.
 */
export function parseSchedule(schedule: string, timeZone: string): ParsedSchedule {
  const text = schedule.trim();
  const everyMs = parseEvery(text);
  if (everyMs !== undefined && everyMs < MIN_EVERY_MS) {
    return invalid("schedule", "the shortest pause between two runs is one second");
  }
  if (!isTimeZone(timeZone)) {
    return invalid(
      "time_zone",
      `${JSON.stringify(timeZone)} is not the name of a time zone, such as "Europe/Berlin"`,
    );
  }
  return everyMs === undefined ? parseFields(text, timeZone) : every(everyMs);
}

function every(everyMs: number): Schedule {
  return { kind: "schedule", next: (afterMs) => (Math.floor(afterMs / everyMs) + 1) * everyMs };
}

/** Milliseconds; undefined for what is no `@every` at all. */
function parseEvery(text: string): number | undefined {
  const [, duration] = EVERY.exec(text) ?? [];
  if (duration === undefined) return undefined;
  let everyMs = 0;
  for (const [, count, unit] of duration.matchAll(/(\d+)(h|m|s)/g)) {
    everyMs += Number(count) * (unit === "h" || unit === "m" || unit === "s" ? UNIT_MS[unit] : 0);
  }
  return Number.isSafeInteger(everyMs) ? everyMs : undefined;
}

function parseFields(text: string, timeZone: string): ParsedSchedule {
  const isNickname = NICKNAMES.some((name) => name === text.toLowerCase());
  const isFields = text.split(/\s+/).length === 5 && text.length <= MAX_LENGTH;
  if (!isNickname && !isFields) return notOne(text);
  const cron = readCron(text, timeZone);
  if (typeof cron === "string") return invalid("schedule", `${JSON.stringify(text)}: ${cron}`);
  const next = (afterMs: number): number | undefined => cron.nextRun(new Date(afterMs))?.getTime();
  return next(0) === undefined
    ? invalid("schedule", `${JSON.stringify(text)} names a time that never comes`)
    : { kind: "schedule", next };
}

/** What is wrong with it instead, in a few words. */
function readCron(text: string, timezone: string): Cron | string {
  try {
    return new Cron(text, { mode: "5-part", paused: true, timezone: timezone || "UTC" });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return reason.replace(/^CronPattern: /, "").replace(/\.$/, "");
  }
}

function isTimeZone(timeZone: string): boolean {
  if (timeZone === "") return true;
  try {
    // Offsets such as "+02:00" are taken too, but know no summer time and are no names.
    return /^[A-Za-z]/.test(timeZone) && new Intl.DateTimeFormat("en", { timeZone }).format(0) !== "";
  } catch {
    return false;
  }
}

const notOne = (text: string): ParsedSchedule =>
  invalid("schedule", `${JSON.stringify(text.slice(0, MAX_LENGTH))} is not a schedule: write ${EXAMPLES}`);

function invalid(field: "schedule" | "time_zone", reason: string): ParsedSchedule {
  return { kind: "invalid", field, reason };
}
