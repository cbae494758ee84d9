const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Returns a duration in its largest unit: "350 ms", "12 s", "5 min", "3 h", "2 days". */
export function formatDuration(ms: number): string {
  const value = Math.max(0, ms);
  if (value < SECOND_MS) return `${Math.round(value)} ms`;
  if (value < 10 * SECOND_MS) return `${(value / SECOND_MS).toFixed(1)} s`;
  if (value < 2 * MINUTE_MS) return `${Math.floor(value / SECOND_MS)} s`;
  if (value < 2 * HOUR_MS) return `${Math.floor(value / MINUTE_MS)} min`;
  if (value < 2 * DAY_MS) return `${Math.floor(value / HOUR_MS)} h`;
  return `${Math.floor(value / DAY_MS)} days`;
}

/** Returns how long ago something was: "12 s ago". */
export function formatAgo(atMs: number, now: number): string {
  return atMs <= 0 ? "never" : `${formatDuration(now - atMs)} ago`;
}

/** Returns "4 vCPUs" for 4e9. */
export function formatCpus(nanoCpus: number): string {
  return `${formatCpuCount(nanoCpus)} ${nanoCpus === 1e9 ? "vCPU" : "vCPUs"}`;
}

/** Returns "0.25" for 25e7. */
export function formatCpuCount(nanoCpus: number): string {
  const cpus = nanoCpus / 1e9;
  return Number.isInteger(cpus) ? String(cpus) : cpus.toFixed(2);
}

/** Returns a size in binary units: "1.5 GiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const exponent = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1_024 ** exponent;
  const text = value >= 100 || Number.isInteger(value) ? Math.round(value).toString() : value.toFixed(1);
  return `${text} ${units[exponent]}`;
}

/** Returns the time of day with seconds, in the time zone of the browser: "14:03:07". */
export function formatTime(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8);
}

/** Returns date and time in the time zone of the browser: "2026-12-01 14:03:07". */
export function formatDateTime(ms: number): string {
  const date = new Date(ms);
  const pad = (value: number): string => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${formatTime(ms)}`;
}

/** Returns "1 task" or "3 tasks". */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
