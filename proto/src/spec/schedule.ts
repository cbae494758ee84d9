import { Cron } from "croner";

const EVERY_PATTERN = /^@every\s+((?:\d+(?:h|m|s))+)$/;
const UNIT_MS: ReadonlyMap<string | undefined, number> = new Map([
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
]);
/** Shortest interval of a schedule. Work that repeats more often should be a service. */
const MIN_INTERVAL_MS = 1_000;
const NICKNAMES = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"] as const;
const SCHEDULE_EXAMPLES = `five fields such as "30 2 * * *", a nickname such as ${NICKNAMES[0]}, or "@every 90s"`;
/** Maximum length of a schedule, to limit the work of parsing. Real schedules are shorter. */
const MAX_LENGTH = 256;

/** The schedule of a cron job. Times are in ms since the epoch. */
export interface Schedule {
  readonly kind: "schedule";
  /** Returns the first time strictly after `afterMs`, or undefined if there is none. */
  readonly next: (afterMs: number) => number | undefined;
}

export type ParsedSchedule =
  | Schedule
  /** `field` is the invalid argument. */
  | { readonly kind: "invalid"; readonly field: "schedule" | "time_zone"; readonly reason: string };

/**
 * Parses a schedule: the five fields of cron, a nickname such as `@daily`, or `@every` with hours, minutes and seconds.
 *
 * The fields are minute, hour, day of month, month and day of week, with lists, ranges, steps and names. If both day
 * fields are restricted, a day that matches either of them is used, as in cron. Fields apply to the local time in
 * `timeZone`, an IANA name or empty for UTC. When daylight saving time starts, a run in the skipped hour happens right
 * after the change. When it ends, a time that occurs twice runs once. Schedules with a step, such as every 15 minutes,
 * continue evenly through both changes.
 *
 * `@every` counts from the epoch, so that each leader computes the same times.
 */
export function parseSchedule(schedule: string, timeZone: string): ParsedSchedule {
  const text = schedule.trim();
  const everyMs = parseEvery(text);
  if (everyMs !== undefined && everyMs < MIN_INTERVAL_MS) {
    return invalid("schedule", "the interval is too short (minimum 1s)");
  }
  if (!isTimeZone(timeZone)) {
    return invalid(
      "time_zone",
      `${JSON.stringify(timeZone)} is not a time zone; use an IANA name such as "Europe/Berlin"`,
    );
  }
  return everyMs === undefined ? parseCronFields(text, timeZone) : intervalSchedule(everyMs);
}

function intervalSchedule(everyMs: number): Schedule {
  return { kind: "schedule", next: (afterMs) => (Math.floor(afterMs / everyMs) + 1) * everyMs };
}

/** Returns the interval of an `@every` schedule in ms, or undefined for any other text. */
function parseEvery(text: string): number | undefined {
  const [, duration] = EVERY_PATTERN.exec(text) ?? [];
  if (duration === undefined) return undefined;
  let everyMs = 0;
  for (const [, count, unit] of duration.matchAll(/(\d+)(h|m|s)/g)) {
    everyMs += Number(count) * (UNIT_MS.get(unit) ?? 0);
  }
  return Number.isSafeInteger(everyMs) ? everyMs : undefined;
}

function parseCronFields(text: string, timeZone: string): ParsedSchedule {
  const isNickname = NICKNAMES.some((name) => name === text.toLowerCase());
  const hasFiveFields = text.split(/\s+/).length === 5 && text.length <= MAX_LENGTH;
  if (!isNickname && !hasFiveFields) return unrecognizedSchedule(text);
  let cron: Cron;
  try {
    cron = new Cron(text, { mode: "5-part", paused: true, timezone: timeZone || "UTC" });
  } catch (error) {
    return invalid("schedule", `${JSON.stringify(text)}: ${cronErrorReason(error)}`);
  }
  const next = (afterMs: number): number | undefined => cron.nextRun(new Date(afterMs))?.getTime();
  return next(0) === undefined
    ? invalid("schedule", `${JSON.stringify(text)} matches no time`)
    : { kind: "schedule", next };
}

function cronErrorReason(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  return reason.replace(/^CronPattern: /, "").replace(/\.$/, "");
}

function isTimeZone(timeZone: string): boolean {
  if (timeZone === "") return true;
  try {
    // Intl also accepts offsets such as "+02:00", which are not names and have no daylight saving time.
    return /^[A-Za-z]/.test(timeZone) && new Intl.DateTimeFormat("en", { timeZone }).format(0) !== "";
  } catch {
    return false;
  }
}

function unrecognizedSchedule(text: string): ParsedSchedule {
  const quoted = JSON.stringify(text.slice(0, MAX_LENGTH));
  return invalid("schedule", `${quoted} is not a schedule; use ${SCHEDULE_EXAMPLES}`);
}

function invalid(field: "schedule" | "time_zone", reason: string): ParsedSchedule {
  return { kind: "invalid", field, reason };
}
