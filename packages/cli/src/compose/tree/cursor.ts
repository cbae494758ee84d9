import type { Diagnostics, Place } from "../text/diagnostics.js";
import type { Position } from "../text/source.js";
import { type Parsed, parseBytes, parseDurationMs, parseNanoCpus } from "../text/units.js";
import { describeNode, isNull, type Node, scalarText } from "./node.js";

/**
 * A node on the way from the root, and where to say what is wrong with it. The readers below give the value that
 * they are asked for, or report what is there instead and give undefined.
 */
export interface Cursor extends Place {
  readonly node: Node;
  /** Where its key stands; the value itself for items of lists. */
  readonly keyAt: Position;
  readonly diagnostics: Diagnostics;
}

export function rootCursor(node: Node, diagnostics: Diagnostics): Cursor {
  return { node, at: node.at, keyAt: node.at, path: "", diagnostics };
}

/** A place for a key instead of its value: what is wrong is that it is there. */
export function keyPlace(cursor: Cursor): Place {
  return { at: cursor.keyAt, path: cursor.path };
}

/** The fields of a mapping, in the order of the file. `x-` fields are left out. */
export function readFields(cursor: Cursor): ReadonlyMap<string, Cursor> | undefined {
  const { node, path, diagnostics } = cursor;
  if (node.kind !== "map") return wrongType(cursor, "a mapping");
  const fields = new Map<string, Cursor>();
  for (const [key, { keyAt, value }] of node.entries) {
    if (key.startsWith("x-")) continue;
    fields.set(key, {
      node: value,
      at: value.at,
      keyAt,
      path: path === "" ? key : `${path}.${key}`,
      diagnostics,
    });
  }
  return fields;
}

export function readItems(cursor: Cursor): readonly Cursor[] | undefined {
  const { node, path, diagnostics } = cursor;
  if (node.kind !== "list") return wrongType(cursor, listHint(node));
  return node.items.map((item, index) => ({
    node: item,
    at: item.at,
    keyAt: item.at,
    path: `${path}[${index}]`,
    diagnostics,
  }));
}

/** Names of other parts of the file: a list of them, or a mapping that says more of each. */
export function readReferences(cursor: Cursor): readonly (readonly [name: string, Cursor])[] {
  if (cursor.node.kind === "map") return [...(readFields(cursor) ?? [])];
  return (readItems(cursor) ?? []).flatMap((item) => {
    const name = readText(item);
    return name === undefined ? [] : [[name, item] as const];
  });
}

/** A list, or the one item that it would have. */
export function readOneOrMore(cursor: Cursor): readonly Cursor[] | undefined {
  return cursor.node.kind === "list" ? readItems(cursor) : [cursor];
}

/** Text. Numbers are taken as they were written: `user: 1000`, `version: 3.8`. */
export function readText(cursor: Cursor): string | undefined {
  const { node } = cursor;
  if (node.kind !== "scalar" || node.value === null || typeof node.value === "boolean") {
    return wrongType(cursor, "text");
  }
  return typeof node.value === "number" ? node.text : node.value;
}

/** The value of a variable, label or option: any scalar, as text. */
function readScalarText(cursor: Cursor): string | undefined {
  return cursor.node.kind === "scalar" ? scalarText(cursor.node) : wrongType(cursor, "text or a number");
}

export interface IntegerRange {
  readonly min: number;
  readonly max: number;
}

/** A whole number, which may be written as text. */
export function readInteger(cursor: Cursor, { min, max }: IntegerRange): number | undefined {
  const { node } = cursor;
  const text = node.kind === "scalar" ? String(node.value ?? "").trim() : "";
  const value = /^[-+]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value)) return wrongType(cursor, "a whole number");
  if (value >= min && value <= max) return value;
  cursor.diagnostics.error(cursor, `${text} is not between ${min} and ${max}`);
  return undefined;
}

/** A number, whole or not, which may be written as text. */
export function readNumber(cursor: Cursor, { min, max }: IntegerRange): number | undefined {
  const { node } = cursor;
  const text = node.kind === "scalar" ? String(node.value ?? "").trim() : "";
  const value = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value)) return wrongType(cursor, "a number");
  if (value >= min && value <= max) return value;
  cursor.diagnostics.error(cursor, `${text} is not between ${min} and ${max}`);
  return undefined;
}

const YES = ["true", "yes", "y", "on"];
const NO = ["false", "no", "n", "off"];

/** A boolean, also in the words of YAML 1.1. */
export function readFlag(cursor: Cursor): boolean | undefined {
  const { node } = cursor;
  const text = node.kind === "scalar" ? String(node.value ?? "").toLowerCase() : "";
  if (YES.includes(text)) return true;
  return NO.includes(text) ? false : wrongType(cursor, "true or false");
}

/** Milliseconds. */
export function readDurationMs(cursor: Cursor): number | undefined {
  return readUnit(cursor, parseDurationMs);
}

export function readBytes(cursor: Cursor): number | undefined {
  return readUnit(cursor, parseBytes);
}

export function readNanoCpus(cursor: Cursor): number | undefined {
  return readUnit(cursor, parseNanoCpus);
}

export function readOneOf<T extends string>(cursor: Cursor, choices: readonly T[]): T | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const found = choices.find((choice) => choice === text);
  if (found === undefined) {
    cursor.diagnostics.error(cursor, `${JSON.stringify(text)} is not possible: use ${choices.join(", ")}`);
  }
  return found;
}

/** One of a table's words, as what it stands for. */
export function readChoice<T>(cursor: Cursor, choices: Readonly<Record<string, T>>): T | undefined {
  const word = readOneOf(cursor, Object.keys(choices));
  return word === undefined ? undefined : choices[word];
}

export function readTexts(cursor: Cursor): readonly string[] | undefined {
  return readItems(cursor)
    ?.map(readText)
    .filter((text) => text !== undefined);
}

/** A mapping of scalars, or a list of `KEY=VALUE`. A null value, or a list item without `=`, gives null. */
export function readKeyValues(cursor: Cursor): ReadonlyMap<string, KeyValue> | undefined {
  if (cursor.node.kind === "list") return keyValueList(cursor);
  const fields = readFieldsWithExtensions(cursor);
  if (fields === undefined) return undefined;
  const values = new Map<string, KeyValue>();
  for (const [key, field] of fields) {
    const value = isNull(field.node) ? null : readScalarText(field);
    if (value !== undefined) values.set(key, { value, cursor: field });
  }
  return values;
}

export interface KeyValue {
  readonly value: string | null;
  readonly cursor: Cursor;
}

/** As readKeyValues, with null as the empty text: labels, options. */
export function readTextMap(cursor: Cursor): { [key: string]: string } | undefined {
  const values = readKeyValues(cursor);
  return values && Object.fromEntries([...values].map(([key, { value }]) => [key, value ?? ""]));
}

/** Reports what stands where something else belongs. */
export function wrongType(cursor: Cursor, wanted: string): undefined {
  cursor.diagnostics.error(cursor, `must be ${wanted}, not ${describeNode(cursor.node)}`);
  return undefined;
}

function keyValueList(cursor: Cursor): ReadonlyMap<string, KeyValue> | undefined {
  const values = new Map<string, KeyValue>();
  for (const item of readItems(cursor) ?? []) {
    const text = readText(item);
    if (text === undefined) continue;
    const equals = text.indexOf("=");
    const key = equals < 0 ? text : text.slice(0, equals);
    values.set(key, { value: equals < 0 ? null : text.slice(equals + 1), cursor: item });
  }
  return values;
}

/** In a mapping of variables or labels `x-frame` is a name like any other. */
function readFieldsWithExtensions(cursor: Cursor): readonly (readonly [string, Cursor])[] | undefined {
  const { node, path, diagnostics } = cursor;
  if (node.kind !== "map") return wrongType(cursor, "a mapping or a list");
  return [...node.entries].map(([key, { keyAt, value }]) => [
    key,
    { node: value, at: value.at, keyAt, path: `${path}.${key}`, diagnostics },
  ]);
}

function readUnit<T>(cursor: Cursor, parse: (text: string) => Parsed<T>): T | undefined {
  const { node } = cursor;
  if (node.kind !== "scalar" || node.value === null || typeof node.value === "boolean") {
    return wrongType(cursor, "text");
  }
  const parsed = parse(String(node.value));
  if (parsed.kind === "value") return parsed.value;
  cursor.diagnostics.error(cursor, parsed.reason);
  return undefined;
}

/** A scalar where a list belongs is the commonest slip: show the list that it would be. */
function listHint(node: Node): string {
  return node.kind === "scalar" && node.value !== null
    ? `a list such as [${JSON.stringify(node.text)}]`
    : "a list";
}
