import { invalid, type Parsed, valid } from "./parsed.js";

const NS_PER_MS = 1e6;
const NS_PER_UNIT: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: NS_PER_MS,
  s: 1e9,
  m: 60e9,
  h: 3_600e9,
  d: 86_400e9,
  w: 604_800e9,
};
const DURATION =
  /^-?(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|[smhdw])(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|[smhdw]))*$/;
const DURATION_PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|[smhdw])/g;

/** Parses a Go duration (`1m30s`, `1.5h`, `-500ms`), or one with Compose's `d` and `w`, to nanoseconds. */
export function parseDurationNs(text: string): Parsed<number> {
  if (text === "0") return valid(0);
  if (!DURATION.test(text)) return invalid(durationProblem(text));
  let ns = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
    ns += Number(amount) * (NS_PER_UNIT[unit ?? ""] ?? 0);
  }
  // Go stores a duration in 63 bits.
  if (ns >= 2 ** 63) return invalid(`the duration ${text} is too long`);
  return valid(text.startsWith("-") ? -Math.round(ns) : Math.round(ns));
}

/** Parses a duration to whole milliseconds. A duration above zero is at least 1 ms. A negative one is invalid. */
export function parseDurationMs(text: string): Parsed<number> {
  const parsed = parseDurationNs(text);
  if (parsed.kind === "invalid") return parsed;
  if (text.startsWith("-")) return invalid(`the duration ${text} is negative`);
  const ms = Math.round(parsed.value / NS_PER_MS);
  return valid(parsed.value > 0 ? Math.max(1, ms) : 0);
}

/** Formats nanoseconds as Go does: `1h0m0s`, `1m30.5s`, `20ms`, `1µs`. */
export function formatGoDuration(ns: number): string {
  if (ns < 0) return `-${formatGoDuration(-ns)}`;
  if (ns === 0) return "0s";
  if (ns < 1e9) {
    if (ns < 1e3) return `${ns}ns`;
    return ns < NS_PER_MS ? `${ns / 1e3}µs` : `${ns / NS_PER_MS}ms`;
  }
  const minutes = Math.floor(ns / 60e9);
  const seconds = `${(ns - minutes * 60e9) / 1e9}s`;
  if (minutes === 0) return seconds;
  return minutes < 60 ? `${minutes}m${seconds}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}

function durationProblem(text: string): string {
  const quoted = JSON.stringify(text);
  if (/^\d+(\.\d+)?$/.test(text)) return `the duration ${quoted} has no unit; did you mean "${text}s"?`;
  const corrected = text
    .replaceAll(/\s+/g, "")
    .replace(/(sec|second)s?$/, "s")
    .replace(/(min|minute)s?$/, "m");
  const hint = DURATION.test(corrected)
    ? `; did you mean "${corrected}"?`
    : "; use a form such as 10s, 1m30s or 500ms";
  return `${quoted} is not a duration${hint}`;
}

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};
const SIZE = /^(\d+(?:\.\d*)?(?:e\d+)?|\.\d+) ?([bkmgtp]?)(?:i?b)?$/i;

/** Parses a size in bytes: `512M`, `1.5g`, `64kb`, `1GiB`. Units are powers of 1024, in any case. */
export function parseBytes(text: string): Parsed<number> {
  const [, amount, unit = ""] = SIZE.exec(text) ?? [];
  if (amount === undefined) return invalid(sizeProblem(text));
  const bytes = Math.floor(Number(amount) * (BYTES_PER_UNIT[unit.toLowerCase()] ?? 1));
  return Number.isSafeInteger(bytes) ? valid(bytes) : invalid(`the size ${text} is too large`);
}

function sizeProblem(text: string): string {
  const quoted = JSON.stringify(text);
  const kubernetes = /^(\d+(?:\.\d+)?)([kmgtp])i$/i.exec(text);
  if (kubernetes !== null) {
    return `${quoted} is not a size; use ${kubernetes[1]}${kubernetes[2]?.toUpperCase()}`;
  }
  return `${quoted} is not a size; use a form such as 64M or 1.5G, or a number of bytes`;
}

/** Parses octal permission bits, as in `chmod`: `0440` or `0o440`. */
export function parsePermissionBits(text: string): number | undefined {
  return /^(?:0o)?[0-7]{1,6}$/.test(text) ? Number.parseInt(text.replace("0o", ""), 8) : undefined;
}

const NANO = 1e9;

/** Parses a number of CPUs (`0.5`, `2`) to billionths of a CPU. */
export function parseNanoCpus(text: string): Parsed<number> {
  const quoted = JSON.stringify(text);
  if (/^\d+m$/.test(text)) {
    return invalid(`${quoted} is not a number of CPUs; use ${Number.parseInt(text, 10) / 1000}`);
  }
  if (!/^(?:\d+(?:\.\d*)?|\.\d+)$/.test(text)) {
    return invalid(`${quoted} is not a number of CPUs; use a number such as 0.5 or 2`);
  }
  const nano = Math.round(Number(text) * NANO);
  return Number.isSafeInteger(nano) ? valid(nano) : invalid(`${text} is too many CPUs`);
}
