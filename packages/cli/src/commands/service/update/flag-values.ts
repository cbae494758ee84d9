import { splitShellWords } from "../../../compose/text/shell-words.js";
import { invalid, type Parsed, parseDurationMs, value } from "../../../compose/text/units.js";

/** Docker's maximum for counts (int32). */
const MAX_COUNT = 2 ** 31 - 1;

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

export const anyText = (text: string): Parsed<string> => value(text);

export function nonEmptyText(text: string): Parsed<string> {
  return text.trim() === "" ? invalid("must not be empty") : value(text.trim());
}

export const booleanFlag = (text: string): Parsed<boolean> => value(text === "true");

export const durationMs = parseDurationMs;

export function count(text: string): Parsed<number> {
  const number = Number(text);
  return /^\d+$/.test(text) && number <= MAX_COUNT
    ? value(number)
    : invalid(`${JSON.stringify(text)} is not a whole number from 0 to ${MAX_COUNT}`);
}

export function ratio(text: string): Parsed<number> {
  const number = Number(text);
  return /^(?:\d+(?:\.\d*)?|\.\d+)$/.test(text) && number <= 1
    ? value(number)
    : invalid(`${JSON.stringify(text)} is not a number from 0 to 1`);
}

/** Returns a parser that maps each key of `choices` to its value. */
export function choice<T>(choices: Readonly<Record<string, T>>): (text: string) => Parsed<T> {
  return (text) => {
    const found = Object.hasOwn(choices, text) ? choices[text] : undefined;
    return found === undefined
      ? invalid(`${JSON.stringify(text)} is invalid: use ${Object.keys(choices).join(", ")}`)
      : value(found);
  };
}

/** Parses `KEY=VALUE`. Without `=` the value is empty. */
export function keyValue(text: string): Parsed<KeyValue> {
  const equals = text.indexOf("=");
  const key = equals < 0 ? text : text.slice(0, equals);
  if (key.trim() === "") return invalid(`${JSON.stringify(text)} is not KEY=VALUE`);
  return value({ key, value: equals < 0 ? "" : text.slice(equals + 1) });
}

/** Parses `KEY=VALUE`. The `=` is required. */
export function fullKeyValue(text: string): Parsed<KeyValue> {
  return text.includes("=") ? keyValue(text) : invalid(`${JSON.stringify(text)} is not KEY=VALUE`);
}

/** Splits a command line into words as a shell would. Empty text has no words. */
export function commandLine(text: string): Parsed<readonly string[]> {
  const split = splitShellWords(text);
  if (split.kind === "invalid") return split;
  return split.ignored === ""
    ? value(split.words)
    : invalid(`${JSON.stringify(split.ignored)} needs a shell`);
}

/** Returns the items without those that match, and with `item` at the end. */
export function replaced<T>(items: readonly T[], matches: (item: T) => boolean, item: T): T[] {
  return [...without(items, matches), item];
}

export function without<T>(items: readonly T[], matches: (item: T) => boolean): T[] {
  return items.filter((item) => !matches(item));
}

export function withoutKey<T>(map: Readonly<Record<string, T>>, key: string): { [key: string]: T } {
  return Object.fromEntries(Object.entries(map).filter(([name]) => name !== key));
}
