const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
const MONTH_MS = 30 * DAY_MS;
const YEAR_MS = 365 * DAY_MS;

/** Formats a duration as Docker does: `12 seconds`, `About a minute`, `3 weeks`. */
export function formatDuration(ms: number): string {
  const seconds = Math.floor(ms / SECOND_MS);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(ms / MINUTE_MS);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(ms / HOUR_MS);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (ms < 2 * WEEK_MS) return `${Math.floor(ms / DAY_MS)} days`;
  if (ms < 2 * MONTH_MS) return `${Math.floor(ms / WEEK_MS)} weeks`;
  if (ms < 2 * YEAR_MS) return `${Math.floor(ms / MONTH_MS)} months`;
  return `${Math.floor(ms / YEAR_MS)} years`;
}

/** Returns `about an hour ago`. Clocks differ between hosts, so a time in the future counts as now. */
export function formatTimeSince(sinceMs: number, nowMs: number): string {
  return `${formatDuration(Math.max(0, nowMs - sinceMs)).toLowerCase()} ago`;
}

/** Returns `in 5 minutes`, or `now` for a time in the past. */
export function formatTimeUntil(timeMs: number, nowMs: number): string {
  return timeMs <= nowMs ? "now" : `in ${formatDuration(timeMs - nowMs).toLowerCase()}`;
}

const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const SIGNIFICANT_DIGITS = 4;

/** Formats a size as Docker does: `1.944GiB`. */
export function formatBytes(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < BINARY_UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${Number(size.toPrecision(SIGNIFICANT_DIGITS))}${BINARY_UNITS[unit] ?? ""}`;
}

/** Returns `0.5` for half a CPU. */
export function formatCpus(nanoCpus: number): string {
  return String(nanoCpus / 1e9);
}

/** Returns `1 service` or `3 services`. */
export function pluralize(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
