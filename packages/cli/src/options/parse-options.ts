import { BerthError } from "@berth/proto";
import { parseDurationMs } from "../compose/text/units.js";

/** Parses `--timeout`: a duration above zero. */
export function parseTimeoutMs(text: string): number {
  return parsePositiveDurationMs("--timeout", text);
}

/** Parses a duration above zero. */
export function parsePositiveDurationMs(option: string, text: string): number {
  const parsed = parseDurationMs(text);
  if (parsed.kind === "invalid") throw invalidOptionError(option, parsed.reason);
  if (parsed.value === 0) throw invalidOptionError(option, "must be greater than 0");
  return parsed.value;
}

const LABEL_PATTERN = /^([a-zA-Z0-9_][a-zA-Z0-9_./-]*)(?:=(.*))?$/s;

/** Parses labels of the form `KEY=VALUE`. Without `=` the value is empty. */
export function parseLabels(option: string, texts: readonly string[]): { [key: string]: string } {
  const labels: { [key: string]: string } = {};
  for (const text of texts) {
    const [, key, value = ""] = LABEL_PATTERN.exec(text) ?? [];
    if (key === undefined) throw invalidOptionError(option, `${JSON.stringify(text)} is not KEY=VALUE`);
    labels[key] = value;
  }
  return labels;
}

/** Parses `--tail`: a number of lines, or `all`, which is -1. */
export function parseTail(text: string): number {
  if (text === "all") return -1;
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw invalidOptionError("--tail", `${JSON.stringify(text)} is not a number of lines or "all"`);
}

/** Parses a limit: a number above zero. Returns 0, which means no limit, if the option is not given. */
export function parseLimit(option: string, text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw invalidOptionError(option, `${JSON.stringify(text)} is not a number from 1 to 9999999`);
}

/**
 * Pattern of RFC 3339, down to a date alone. `Date.parse` also accepts text such as "yesterday 5", as a day in 2001.
 */
const TIMESTAMP_PATTERN =
  /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?$/i;

/**
 * Parses `--since` or `--until` to ms since the epoch: a timestamp (`2026-01-02T13:23:37Z`), seconds since the epoch, or
 * a duration before now (`42m`).
 */
export function parseTimeMs(text: string, { option, nowMs }: { option: string; nowMs: number }): number {
  const epochMs = /^\d+(?:\.\d+)?$/.test(text) ? Math.round(Number(text) * 1_000) : Number.NaN;
  if (Number.isSafeInteger(epochMs)) return epochMs;
  const duration = parseDurationMs(text);
  if (duration.kind === "value") return nowMs - duration.value;
  const timeMs = TIMESTAMP_PATTERN.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(timeMs)) return timeMs;
  throw invalidOptionError(
    option,
    `${JSON.stringify(text)} is not a timestamp such as 2026-01-02T13:23:37Z or a duration such as 42m`,
  );
}

export function invalidOptionError(option: string, reason: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message: `${option}: ${reason}` });
}
