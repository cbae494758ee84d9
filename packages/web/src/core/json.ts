/**
 * Readers for the JSON form of messages, in which fields with their default value are missing.
 *
 * Each reader returns the default when the field is missing or has another type: a server of another release can send
 * fields that this release of the web UI does not know, and must not be able to break it.
 */

/** A parsed JSON object of unknown shape. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Maximum length of a text that the web UI keeps. Messages of the cluster are much shorter. */
const MAX_TEXT_LENGTH = 4_096;
/** Maximum number of elements of a list that the web UI keeps. */
const MAX_LIST_LENGTH = 20_000;

const EMPTY: JsonObject = Object.freeze({});

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns the object in a field, or an empty one. */
export function readObject(from: JsonObject, key: string): JsonObject {
  const value = from[key];
  return isObject(value) ? value : EMPTY;
}

/** Returns the object in a field. Undefined when there is none. */
export function readOptionalObject(from: JsonObject, key: string): JsonObject | undefined {
  const value = from[key];
  return isObject(value) ? value : undefined;
}

export function readText(from: JsonObject, key: string): string {
  const value = from[key];
  return typeof value === "string" ? value.slice(0, MAX_TEXT_LENGTH) : "";
}

/** Returns a finite number, or 0 if there is none. Numbers of 64 bits can be texts. */
export function readNumber(from: JsonObject, key: string): number {
  return readOptionalNumber(from, key) ?? 0;
}

export function readOptionalNumber(from: JsonObject, key: string): number | undefined {
  const value = from[key];
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

export function readBoolean(from: JsonObject, key: string): boolean {
  return from[key] === true;
}

/** Returns the objects of a list. Elements of other types are left out. */
export function readList(from: JsonObject, key: string): readonly JsonObject[] {
  const value = from[key];
  return Array.isArray(value) ? value.slice(0, MAX_LIST_LENGTH).filter(isObject) : [];
}

export function readTexts(from: JsonObject, key: string): readonly string[] {
  const value = from[key];
  if (!Array.isArray(value)) return [];
  return value
    .slice(0, MAX_LIST_LENGTH)
    .filter((item) => typeof item === "string")
    .map((item) => item.slice(0, MAX_TEXT_LENGTH));
}

export function readNumbers(from: JsonObject, key: string): readonly number[] {
  const value = from[key];
  return Array.isArray(value) ? value.slice(0, MAX_LIST_LENGTH).filter(Number.isFinite) : [];
}

/** Returns a map of texts, such as labels. */
export function readTextMap(from: JsonObject, key: string): Readonly<Record<string, string>> {
  const texts = Object.entries(readObject(from, key))
    .filter((entry): entry is [string, string] => typeof entry[1] === "string")
    .slice(0, MAX_LIST_LENGTH);
  return Object.fromEntries(texts);
}

/**
 * Returns the value of an enum, without its prefix and in lower case: "TASK_STATE_RUNNING" becomes "running". Returns
 * `fallback` for a missing or unknown value.
 */
export function readEnum<T extends string, F>(
  from: JsonObject,
  key: string,
  {
    prefix,
    values,
    fallback,
  }: { readonly prefix: string; readonly values: readonly T[]; readonly fallback: F },
): T | F {
  const text = readText(from, key);
  const name = text.startsWith(prefix) ? text.slice(prefix.length).toLowerCase() : "";
  return values.find((value) => value === name) ?? fallback;
}
