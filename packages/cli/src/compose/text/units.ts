import { invalid, type Parsed, valid } from "./parsed.js";

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const DURATION =
  /^-?(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|[smhdw])(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|[smhdw]))*$/;
const DURATION_PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|[smhdw])/g;

/**
 * Parses a Go duration (`1m30s`, `1.5h`, `500ms`), or one with Compose's `d` and `w`, to whole milliseconds. A duration
 * above zero is at least 1 ms.
 */
export function parseDurationMs(text: string): Parsed<number> {
  if (text === "0") return valid(0);
  if (!DURATION.test(text)) return invalid(durationProblem(text));
  if (text.startsWith("-")) return invalid(`the duration ${text} is negative`);
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART))
    ms += Number(amount) * (MS_PER_UNIT[unit ?? ""] ?? 0);
  if (!Number.isSafeInteger(Math.round(ms))) return invalid(`the duration ${text} is too long`);
  return valid(ms > 0 ? Math.max(1, Math.round(ms)) : 0);
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
    : ": use a form such as 10s, 1m30s or 500ms";
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
  if (kubernetes !== null)
    return `${quoted} is not a size: use ${kubernetes[1]}${kubernetes[2]?.toUpperCase()}`;
  return `${quoted} is not a size: use a form such as 64M or 1.5G, or a number of bytes`;
}

const NANO = 1e9;

/** Parses a number of CPUs (`0.5`, `2`) to billionths of a CPU. */
export function parseNanoCpus(text: string): Parsed<number> {
  const quoted = JSON.stringify(text);
  if (/^\d+m$/.test(text))
    return invalid(`${quoted} is not a number of CPUs: use ${Number.parseInt(text, 10) / 1000}`);
  if (!/^(?:\d+(?:\.\d*)?|\.\d+)$/.test(text))
    return invalid(`${quoted} is not a number of CPUs: use a number such as 0.5 or 2`);
  const nano = Math.round(Number(text) * NANO);
  return Number.isSafeInteger(nano) ? valid(nano) : invalid(`${text} is too many CPUs`);
}
