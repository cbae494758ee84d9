import type { Diagnostics, Place } from "../text/diagnostics.js";
import type { Position } from "../text/source.js";
import { didYouMean } from "../text/suggest.js";
import { type Parsed, parseBytes, parseDurationMs, parseNanoCpus } from "../text/units.js";
import { describeNode, isNull, type Node, scalarText } from "./node.js";

/**
 * A node with its path from the root, and the diagnostics to report to. The readers below return a value of the type
 * they are named after. For any other node they report an error and return undefined.
 */
export interface Cursor extends Place {
  readonly node: Node;
  /** Position of the key. Items of lists have none; for them it is the position of the value. */
  readonly keyPosition: Position;
  readonly diagnostics: Diagnostics;
}

export function rootCursor(node: Node, diagnostics: Diagnostics): Cursor {
  return { node, position: node.position, keyPosition: node.position, path: "", diagnostics };
}

/** Returns the place of the key, for problems with the key itself instead of its value. */
export function keyPlace(cursor: Cursor): Place {
  return { position: cursor.keyPosition, path: cursor.path };
}

/** Reads the fields of a mapping in the order of the file, without extension fields (`x-…`). */
export function readFields(cursor: Cursor): ReadonlyMap<string, Cursor> | undefined {
  const { node, path, diagnostics } = cursor;
  if (node.kind !== "map") return reportWrongType(cursor, "a mapping");
  const fields = new Map<string, Cursor>();
  for (const [key, { keyPosition, value }] of node.entries) {
    if (key.startsWith("x-")) continue;
    fields.set(key, {
      node: value,
      position: value.position,
      keyPosition,
      path: path === "" ? key : `${path}.${key}`,
      diagnostics,
    });
  }
  return fields;
}

export function readItems(cursor: Cursor): readonly Cursor[] | undefined {
  const { node, path, diagnostics } = cursor;
  if (node.kind !== "list") return reportWrongType(cursor, listHint(node));
  return node.items.map((item, index) => ({
    node: item,
    position: item.position,
    keyPosition: item.position,
    path: `${path}[${index}]`,
    diagnostics,
  }));
}

/** Reads references to other parts of the file: a list of names, or a mapping of names to settings. */
export function readReferences(cursor: Cursor): readonly (readonly [name: string, Cursor])[] {
  if (cursor.node.kind === "map") return [...(readFields(cursor) ?? [])];
  return (readItems(cursor) ?? []).flatMap((item) => {
    const name = readText(item);
    return name === undefined ? [] : [[name, item] as const];
  });
}

/** Reads a list. Any other node counts as a list with that one item. */
export function readOneOrMore(cursor: Cursor): readonly Cursor[] | undefined {
  return cursor.node.kind === "list" ? readItems(cursor) : [cursor];
}

/** Reads text. A number keeps the form in which it is written: `user: 1000`, `version: 3.8`. */
export function readText(cursor: Cursor): string | undefined {
  const { node } = cursor;
  if (node.kind !== "scalar" || node.value === null || typeof node.value === "boolean") {
    return reportWrongType(cursor, "text");
  }
  return typeof node.value === "number" ? node.text : node.value;
}

/** Reads the value of a variable, label or option: any scalar, as text. */
function readScalarText(cursor: Cursor): string | undefined {
  return cursor.node.kind === "scalar"
    ? scalarText(cursor.node)
    : reportWrongType(cursor, "text or a number");
}

export interface NumberRange {
  readonly min: number;
  readonly max: number;
}

const INTEGER = /^[-+]?\d+$/;
const NUMBER = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)$/;

/** Reads an integer, which may be quoted. */
export function readInteger(cursor: Cursor, range: NumberRange): number | undefined {
  return readNumberAs(cursor, range, { pattern: INTEGER, typeName: "a whole number" });
}

/** Reads a decimal number, which may be quoted. */
export function readNumber(cursor: Cursor, range: NumberRange): number | undefined {
  return readNumberAs(cursor, range, { pattern: NUMBER, typeName: "a number" });
}

function readNumberAs(
  cursor: Cursor,
  { min, max }: NumberRange,
  { pattern, typeName }: { readonly pattern: RegExp; readonly typeName: string },
): number | undefined {
  const { node } = cursor;
  const text = node.kind === "scalar" ? String(node.value ?? "").trim() : "";
  if (!pattern.test(text)) return reportWrongType(cursor, typeName);
  const value = Number(text);
  if (value >= min && value <= max) return value;
  cursor.diagnostics.error(cursor, `${text} is not between ${min} and ${max}`);
  return undefined;
}

const TRUE_TEXTS = ["true", "yes", "y", "on"];
const FALSE_TEXTS = ["false", "no", "n", "off"];

/** Reads a boolean. The words of YAML 1.1 (`yes`, `off`, …) are accepted. */
export function readFlag(cursor: Cursor): boolean | undefined {
  const { node } = cursor;
  const text = node.kind === "scalar" ? String(node.value ?? "").toLowerCase() : "";
  if (TRUE_TEXTS.includes(text)) return true;
  if (FALSE_TEXTS.includes(text)) return false;
  return reportWrongType(cursor, "true or false", didYouMean(text, ["true", "false", "yes", "no"]));
}

/** Reads a duration in ms. */
export function readDurationMs(cursor: Cursor): number | undefined {
  return readParsed(cursor, parseDurationMs);
}

export function readBytes(cursor: Cursor): number | undefined {
  return readParsed(cursor, parseBytes);
}

export function readNanoCpus(cursor: Cursor): number | undefined {
  return readParsed(cursor, parseNanoCpus);
}

export function readOneOf<T extends string>(cursor: Cursor, choices: readonly T[]): T | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const found = choices.find((choice) => choice === text);
  if (found === undefined) {
    cursor.diagnostics.error(cursor, `${JSON.stringify(text)} is invalid: use ${choices.join(", ")}`);
  }
  return found;
}

/** Reads a key of `choices` and returns its value. */
export function readChoice<T>(cursor: Cursor, choices: Readonly<Record<string, T>>): T | undefined {
  const key = readOneOf(cursor, Object.keys(choices));
  return key === undefined ? undefined : choices[key];
}

export function readTexts(cursor: Cursor): readonly string[] | undefined {
  return readItems(cursor)
    ?.map(readText)
    .filter((text) => text !== undefined);
}

/** Reads a mapping of scalars, or a list of `KEY=VALUE`. A null value, and a list item without `=`, is null. */
export function readKeyValues(cursor: Cursor): ReadonlyMap<string, KeyValue> | undefined {
  if (cursor.node.kind === "list") return readKeyValueList(cursor);
  const fields = readAllFields(cursor);
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

/** Like `readKeyValues`, with null as empty text: labels and options. */
export function readTextMap(cursor: Cursor): { [key: string]: string } | undefined {
  const values = readKeyValues(cursor);
  return values && Object.fromEntries([...values].map(([key, { value }]) => [key, value ?? ""]));
}

/** Reports that the node has another type than `expected`. */
export function reportWrongType(cursor: Cursor, expected: string, hint = ""): undefined {
  cursor.diagnostics.error(cursor, `must be ${expected}, not ${describeNode(cursor.node)}${hint}`);
  return undefined;
}

function readKeyValueList(cursor: Cursor): ReadonlyMap<string, KeyValue> | undefined {
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

/** Reads all fields of a mapping of variables or labels, where `x-frame` is an ordinary name. */
function readAllFields(cursor: Cursor): readonly (readonly [string, Cursor])[] | undefined {
  const { node, path, diagnostics } = cursor;
  if (node.kind !== "map") return reportWrongType(cursor, "a mapping or a list");
  return [...node.entries].map(([key, { keyPosition, value }]) => [
    key,
    { node: value, position: value.position, keyPosition, path: `${path}.${key}`, diagnostics },
  ]);
}

function readParsed<T>(cursor: Cursor, parse: (text: string) => Parsed<T>): T | undefined {
  const { node } = cursor;
  if (node.kind !== "scalar" || node.value === null || typeof node.value === "boolean") {
    return reportWrongType(cursor, "text");
  }
  const parsed = parse(String(node.value));
  if (parsed.kind === "value") return parsed.valid;
  cursor.diagnostics.error(cursor, parsed.reason);
  return undefined;
}

/** Returns what a list is called in an error. A scalar in its place is a common mistake, so its list form is shown. */
function listHint(node: Node): string {
  return node.kind === "scalar" && node.value !== null
    ? `a list such as [${JSON.stringify(node.text)}]`
    : "a list";
}
