const RFC3339_NANO = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;
const NS_DIGITS = 9;
const MS_PER_S = 1_000;

/** Nanoseconds since 1970 as decimal text; undefined when `text` is no time as Docker writes it. */
export function parseTimestamp(text: string): string | undefined {
  const [, seconds, fraction = "", zone] = RFC3339_NANO.exec(text) ?? [];
  const ms = Date.parse(`${seconds}${zone}`);
  if (Number.isNaN(ms) || ms < 0) return undefined;
  return `${ms / MS_PER_S}${fraction.padEnd(NS_DIGITS, "0")}`;
}
