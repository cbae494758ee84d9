import { splitShellWords } from "../../../compose/text/shell-words.js";
import { type Parsed, parseDurationMs } from "../../../compose/text/units.js";

/** The largest number that Docker takes where it counts something. */
const MAX_COUNT = 2 ** 31 - 1;

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

export function value<T>(of: T): Parsed<T> {
  return { kind: "value", value: of };
}

export function invalid(reason: string): { readonly kind: "invalid"; readonly reason: string } {
  return { kind: "invalid", reason };
}

export const text = (text: string): Parsed<string> => value(text);

export function nonEmptyText(text: string): Parsed<string> {
  return text.trim() === "" ? invalid("it is empty") : value(text.trim());
}

export const booleanFlag = (text: string): Parsed<boolean> => value(text === "true");

export const durationMs = parseDurationMs;

export function count(text: string): Parsed<number> {
  const number = Number(text);
  return /^\d+$/.test(text) && number <= MAX_COUNT
    ? value(number)
    : invalid(`${JSON.stringify(text)} is not a whole number from 0 to ${MAX_COUNT}`);
}

/** A share: from 0 to 1. */
export function ratio(text: string): Parsed<number> {
  const number = Number(text);
  return /^(?:\d+(?:\.\d*)?|\.\d+)$/.test(text) && number <= 1
    ? value(number)
    : invalid(`${JSON.stringify(text)} is not a number from 0 to 1`);
}

/** One of a table's words, as what it stands for. */
export function choice<T>(choices: Readonly<Record<string, T>>): (text: string) => Parsed<T> {
  return (text) => {
    const found = Object.hasOwn(choices, text) ? choices[text] : undefined;
    return found === undefined
      ? invalid(`${JSON.stringify(text)} is not possible: use ${Object.keys(choices).join(", ")}`)
      : value(found);
  };
}

/** `KEY=VALUE`; without `=` the value is empty. */
export function keyValue(text: string): Parsed<KeyValue> {
  const equals = text.indexOf("=");
  const key = equals < 0 ? text : text.slice(0, equals);
  if (key.trim() === "") return invalid(`${JSON.stringify(text)} is not KEY=VALUE`);
  return value({ key, value: equals < 0 ? "" : text.slice(equals + 1) });
}

/** `KEY=VALUE` where no value is a mistake. */
export function fullKeyValue(text: string): Parsed<KeyValue> {
  return text.includes("=") ? keyValue(text) : invalid(`${JSON.stringify(text)} is not KEY=VALUE`);
}

/** The words of a command line as a shell would split it; none when it is empty. */
export function commandLine(text: string): Parsed<readonly string[]> {
  const split = splitShellWords(text);
  if (split.kind === "invalid") return split;
  return split.cut === "" ? value(split.words) : invalid(`${JSON.stringify(split.cut)} needs a shell`);
}

/** A list without the items that are meant, and with the new one at its end. */
export function replaced<T>(items: readonly T[], isMeant: (item: T) => boolean, item: T): T[] {
  return [...items.filter((one) => !isMeant(one)), item];
}

export function without<T>(items: readonly T[], isMeant: (item: T) => boolean): T[] {
  return items.filter((item) => !isMeant(item));
}

/** A mapping without one of its keys. */
export function withoutKey<T>(map: Readonly<Record<string, T>>, key: string): { [key: string]: T } {
  return Object.fromEntries(Object.entries(map).filter(([name]) => name !== key));
}
