import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { splitShellWords } from "../../../compose/text/shell-words.js";

/** Docker's maximum for counts (int32). */
const MAX_COUNT = 2 ** 31 - 1;

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

export const parseText = (text: string): Parsed<string> => valid(text);

export function parseNonEmptyText(text: string): Parsed<string> {
  return text.trim() === "" ? invalid("must not be empty") : valid(text.trim());
}

/** Parses the value of a boolean flag, which `applyFlags` converts to "true" or "false". */
export const parseBoolean = (text: string): Parsed<boolean> => valid(text === "true");

export function parseCount(text: string): Parsed<number> {
  const number = Number(text);
  return /^\d+$/.test(text) && number <= MAX_COUNT
    ? valid(number)
    : invalid(`${JSON.stringify(text)} is not a whole number from 0 to ${MAX_COUNT}`);
}

/** Returns a parser of whole numbers from `min` to the largest exact one. */
export function integerParser(min: number): (text: string) => Parsed<number> {
  return (text) => {
    const number = Number(text);
    return /^-?\d+$/.test(text) && number >= min && Number.isSafeInteger(number)
      ? valid(number)
      : invalid(`${JSON.stringify(text)} is not a whole number of at least ${min}`);
  };
}

export function parseRatio(text: string): Parsed<number> {
  const number = Number(text);
  return /^(?:\d+(?:\.\d*)?|\.\d+)$/.test(text) && number <= 1
    ? valid(number)
    : invalid(`${JSON.stringify(text)} is not a number from 0 to 1`);
}

/** Returns a parser that maps each key of `choices` to its value. */
export function choiceParser<T>(choices: Readonly<Record<string, T>>): (text: string) => Parsed<T> {
  return (text) => {
    const choice = Object.hasOwn(choices, text) ? choices[text] : undefined;
    return choice === undefined
      ? invalid(`${JSON.stringify(text)} is invalid; use ${Object.keys(choices).join(", ")}`)
      : valid(choice);
  };
}

/** Parses `KEY=VALUE`. Without `=` the value is empty. */
export function parseKeyValue(text: string): Parsed<KeyValue> {
  const equals = text.indexOf("=");
  const key = equals < 0 ? text : text.slice(0, equals);
  if (key.trim() === "") return invalid(`${JSON.stringify(text)} is not KEY=VALUE`);
  return valid({ key, value: equals < 0 ? "" : text.slice(equals + 1) });
}

/** Parses `KEY=VALUE`. The `=` is required. */
export function parseAssignment(text: string): Parsed<KeyValue> {
  return text.includes("=") ? parseKeyValue(text) : invalid(`${JSON.stringify(text)} is not KEY=VALUE`);
}

/** Splits a command line into words as a shell would. Empty text has no words. */
export function parseCommandLine(text: string): Parsed<readonly string[]> {
  const split = splitShellWords(text);
  if (split.kind === "invalid") return split;
  return split.ignored === ""
    ? valid(split.words)
    : invalid(`${JSON.stringify(split.ignored)} needs a shell`);
}

/** Returns the items that do not match, followed by `item`. */
export function replaceMatching<T>(items: readonly T[], matches: (item: T) => boolean, item: T): T[] {
  return [...removeMatching(items, matches), item];
}

/** Returns the items that do not match. */
export function removeMatching<T>(items: readonly T[], matches: (item: T) => boolean): T[] {
  return items.filter((item) => !matches(item));
}

/** Returns a copy of a map without a key. */
export function removeKey<T>(map: Readonly<Record<string, T>>, key: string): { [key: string]: T } {
  return Object.fromEntries(Object.entries(map).filter(([name]) => name !== key));
}
