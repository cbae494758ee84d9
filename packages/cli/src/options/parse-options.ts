import { BerthError } from "@berth/proto";
import { parseDurationMs } from "../compose/text/units.js";

/** `--timeout`: a duration above zero. */
export function parseTimeoutMs(text: string): number {
  const parsed = parseDurationMs(text);
  if (parsed.kind === "invalid") throw invalidOption("--timeout", parsed.reason);
  if (parsed.value === 0) throw invalidOption("--timeout", "must be longer than 0");
  return parsed.value;
}

const KEY_VALUE = /^([a-zA-Z0-9_][a-zA-Z0-9_./-]*)(?:=(.*))?$/s;

/** `--label-add key=value`, several times; without `=` the value is empty. */
export function parseLabels(texts: readonly string[]): { [key: string]: string } {
  const labels: { [key: string]: string } = {};
  for (const text of texts) {
    const [, key, value = ""] = KEY_VALUE.exec(text) ?? [];
    if (key === undefined) throw invalidOption("--label-add", `${JSON.stringify(text)} is not KEY=VALUE`);
    labels[key] = value;
  }
  return labels;
}

/** `--tail`: a number of lines, or `all`, which is -1. */
export function parseTail(text: string): number {
  if (text === "all") return -1;
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw invalidOption("--tail", `${JSON.stringify(text)} is neither a number of lines nor "all"`);
}

/** `--since`, `--until`: a time (`2026-01-02T13:23:37Z`, seconds since 1970) or how long ago (`42m`); in ms since 1970. */
export function parseTimeMs(text: string, { option, nowMs }: { option: string; nowMs: number }): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Math.round(Number(text) * 1_000);
  const duration = parseDurationMs(text);
  if (duration.kind === "value") return nowMs - duration.value;
  const time = Date.parse(text);
  if (!Number.isNaN(time)) return time;
  throw invalidOption(
    option,
    `${JSON.stringify(text)} is neither a time like 2026-01-02T13:23:37Z nor a span like 42m`,
  );
}

export function invalidOption(option: string, reason: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message: `${option}: ${reason}` });
}
