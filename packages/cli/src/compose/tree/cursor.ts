import type { Diagnostics, Place } from "../text/diagnostics.js";
import type { Parsed } from "../text/parsed.js";
import type { SourceSpan } from "../text/source.js";
import { didYouMean } from "../text/suggest.js";
import { parseBytes, parseDurationMs, parseNanoCpus } from "../text/units.js";
import { describeNode, isNull, type Node, scalarText } from "./node.js";

/**
 * A node of a Compose file with its path from the root, and the diagnostics to report to. Each `read…` function below
 * returns a value of one type. For any other node, it reports an error and returns undefined.
 */
export interface Cursor extends Place {
  readonly node: Node;
  /** Position of the key, or of the value for an item of a list, which has no key. */
  readonly keyPosition: SourceSpan;
  readonly diagnostics: Diagnostics;
}

/** Returns the cursor of the whole file. */
export function rootCursor(node: Node, diagnostics: Diagnostics): Cursor {
  return { node, position: node.position, keyPosition: node.position, path: "", diagnostics };
}

/** Returns the place of the key, for problems with the key itself instead of its value. */
export function keyPlace(cursor: Cursor): Place {
  return { position: cursor.keyPosition, path: cursor.path };
}

/** Reads the fields of a mapping in the order of the file, without extension fields (`x-…`). */
export function readFields(cursor: Cursor): ReadonlyMap<string, Cursor> | undefined {
  if (cursor.node.kind !== "map") return reportWrongType(cursor, "a mapping");
  return new Map([...listFields(cursor)].filter(([key]) => !key.startsWith("x-")));
}

/** Returns all fields of a mapping, including extension fields. Empty for any other node, which is not reported. */
export function listFields({ node, path, diagnostics }: Cursor): ReadonlyMap<string, Cursor> {
  const fields = new Map<string, Cursor>();
  if (node.kind !== "map") return fields;
  for (const [key, { keyPosition, value }] of node.entries) {
    const keyPath = path === "" ? key : `${path}.${key}`;
    fields.set(key, { node: value, position: value.position, keyPosition, path: keyPath, diagnostics });
  }
  return fields;
}

/** Reads the items of a list. */
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

/** Reads the items of a list. Any other node is read as the only item. */
export function readOneOrMore(cursor: Cursor): readonly Cursor[] | undefined {
  return cursor.node.kind === "list" ? readItems(cursor) : [cursor];
}

/** Reads text. A number is returned as it is written in the file, for example `1000` for `user: 1000`. */
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

const INTEGER_PATTERN = /^[-+]?\d+$/;
const NUMBER_PATTERN = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)$/;

/** Reads an integer, which may be quoted. */
export function readInteger(cursor: Cursor, range: NumberRange): number | undefined {
  return readNumberAs(cursor, range, { pattern: INTEGER_PATTERN, typeName: "a whole number" });
}

/** Reads a decimal number, which may be quoted. */
export function readNumber(cursor: Cursor, range: NumberRange): number | undefined {
  return readNumberAs(cursor, range, { pattern: NUMBER_PATTERN, typeName: "a number" });
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
/** The texts that are booleans, in lower case. */
export const FLAG_TEXTS = [...TRUE_TEXTS, ...FALSE_TEXTS];

/** Reads a boolean, including the forms of YAML 1.1 such as `yes` and `off`. */
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

/** Reads a size such as `64M` in bytes. */
export function readBytes(cursor: Cursor): number | undefined {
  return readParsed(cursor, parseBytes);
}

/** Reads a number of CPUs in billionths. */
export function readNanoCpus(cursor: Cursor): number | undefined {
  return readParsed(cursor, parseNanoCpus);
}

/** Reads text that must be one of `choices`. */
export function readOneOf<T extends string>(cursor: Cursor, choices: readonly T[]): T | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const match = choices.find((choice) => choice === text);
  if (match === undefined) {
    const hint = didYouMean(text, choices);
    cursor.diagnostics.error(cursor, `${JSON.stringify(text)} is invalid; use ${choices.join(", ")}${hint}`);
  }
  return match;
}

/** Reads a key of `choices` and returns its value. */
export function readChoice<T>(cursor: Cursor, choices: Readonly<Record<string, T>>): T | undefined {
  const key = readOneOf(cursor, Object.keys(choices));
  return key === undefined ? undefined : choices[key];
}

/** Reads a list of text. */
export function readTexts(cursor: Cursor): readonly string[] | undefined {
  return readItems(cursor)
    ?.map(readText)
    .filter((text) => text !== undefined);
}

/** Reads a mapping of scalars, or a list of `KEY=VALUE`. A key without a value has the value null. */
export function readKeyValues(cursor: Cursor): ReadonlyMap<string, KeyValue> | undefined {
  if (cursor.node.kind === "list") return readKeyValueList(cursor);
  if (cursor.node.kind !== "map") return reportWrongType(cursor, "a mapping or a list");
  const values = new Map<string, KeyValue>();
  // A variable or label can be called `x-frame`, so extension fields are included.
  for (const [key, field] of listFields(cursor)) {
    const value = isNull(field.node) ? null : readScalarText(field);
    if (value !== undefined) values.set(key, { value, cursor: field });
  }
  return values;
}

/** A value with its place. */
export interface KeyValue {
  readonly value: string | null;
  readonly cursor: Cursor;
}

/** Reads labels or options like `readKeyValues`, with empty text instead of null. */
export function readTextMap(cursor: Cursor): { [key: string]: string } | undefined {
  const values = readKeyValues(cursor);
  return values && Object.fromEntries([...values].map(([key, { value }]) => [key, value ?? ""]));
}

/** Reports that the node does not have the expected type. */
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

function readParsed<T>(cursor: Cursor, parse: (text: string) => Parsed<T>): T | undefined {
  const { node } = cursor;
  if (node.kind !== "scalar" || node.value === null || typeof node.value === "boolean") {
    return reportWrongType(cursor, "text");
  }
  const parsed = parse(String(node.value));
  if (parsed.kind === "value") return parsed.value;
  cursor.diagnostics.error(cursor, parsed.reason);
  return undefined;
}

/** Describes the expected list for an error. For a scalar, a common mistake, the text shows its list form. */
function listHint(node: Node): string {
  return node.kind === "scalar" && node.value !== null
    ? `a list such as [${JSON.stringify(node.text)}]`
    : "a list";
}
