import type { Parsed } from "../text/parsed.js";
import { splitShellWords } from "../text/shell-words.js";
import { didYouMean } from "../text/suggest.js";
import { formatGoDuration, parseBytes, parseDurationNs, parseNanoCpus } from "../text/units.js";
import {
  type Cursor,
  FLAG_TEXTS,
  keyPlace,
  listFields,
  readFlag,
  readItems,
  reportWrongType,
} from "../tree/cursor.js";
import { uniqueItems } from "../tree/merge-rules.js";
import {
  haveEqualValues,
  implied,
  isNull,
  listNode,
  type MapEntry,
  type Node,
  scalarNode,
  scalarText,
} from "../tree/node.js";
import {
  choiceOf,
  type Example,
  type KeyDocumentation,
  listSchema,
  NULL_SCHEMA,
  TEXT_SCHEMA,
  type ValueSchema,
} from "./value-schema.js";

const INTEGER = /^[-+]?\d+$/;
const DECIMAL = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?$/;
const NUMBER_OR_TEXT_SCHEMA: ValueSchema = { kind: "scalar", types: ["number", "string"] };
const KEY_VALUES_SCHEMA = choiceOf(
  { kind: "dictionary", values: { kind: "scalar", types: ["string", "number", "boolean", "null"] } },
  listSchema(TEXT_SCHEMA),
);
/** Matches the texts of booleans in any case. */
const FLAG_TEXT = `^(?:${FLAG_TEXTS.map(anyCase).join("|")})$`;

function anyCase(word: string): string {
  return word.replace(/./g, (letter) => `[${letter.toUpperCase()}${letter}]`);
}

/**
 * Which tree is canonicalized. A single file may lack keys that another file of the project has, and its null values
 * keep the values of earlier files. In the merged tree of the project, both are errors.
 */
export type Stage = "file" | "project";

/**
 * Returns the canonical form of a value, in which all short forms are expanded. The canonical form of a canonical value
 * is the value itself. Reports an invalid value, and returns undefined when nothing of it can be kept.
 */
export type ReadShape = (cursor: Cursor, stage: Stage) => Node | undefined;

/** Reads the values of a part of a Compose file, and describes them. */
export interface Shape extends ReadShape {
  /** The values that are valid in a file. */
  readonly schema: ValueSchema;
}

/** Creates a shape. */
export function defineShape(schema: ValueSchema, read: ReadShape): Shape {
  return Object.assign((cursor: Cursor, stage: Stage) => read(cursor, stage), { schema });
}

/** The shape of the value of a key, with the documentation of the key. */
export interface Key {
  readonly shape: Shape;
  readonly about: KeyDocumentation;
}

/** Keys of a mapping. */
export type Keys = Readonly<Record<string, Key>>;

/** Documents a key. See {@link KeyDocumentation} for the arguments. */
export function key(
  shape: Shape,
  summary: string,
  example: Example,
  more: Omit<KeyDocumentation, "summary" | "example"> = {},
): Key {
  return { shape, about: { summary, example, ...more } };
}

/** Text. Compose rejects a number or boolean here, since YAML would change how it is written (`1.10`, `0755`). */
export const text: Shape = defineShape(TEXT_SCHEMA, (cursor) => {
  const { node } = cursor;
  if (node.kind === "scalar" && typeof node.value === "string") return node;
  const isUnquoted = node.kind === "scalar" && node.value !== null;
  return reportWrongType(cursor, "text", isUnquoted ? `: write ${JSON.stringify(node.text)}` : "");
});

/** A key that is always an error, with advice instead of "unknown key". */
export function rejected(message: string): Shape {
  return defineShape({ kind: "nothing" }, (cursor) => {
    cursor.diagnostics.error(keyPlace(cursor), message);
    return undefined;
  });
}

/** Text that may be a secret: messages do not quote it. */
export const sensitiveText: Shape = defineShape(TEXT_SCHEMA, (cursor) => {
  const { node } = cursor;
  if (node.kind === "scalar" && typeof node.value === "string") return node;
  cursor.diagnostics.error(keyPlace(cursor), "must be text");
  return undefined;
});

/** Any scalar but null, as text. */
export const scalarAsText: Shape = defineShape(
  { kind: "scalar", types: ["string", "number", "boolean"] },
  (cursor) => {
    const { node } = cursor;
    if (node.kind !== "scalar" || node.value === null) return reportWrongType(cursor, "text or a number");
    return typeof node.value === "string" ? node : scalarNode(scalarText(node), node.position, node.text);
  },
);

/** One of several texts. */
export function oneOf(...choices: readonly string[]): Shape {
  return defineShape({ kind: "scalar", types: ["string"], choices }, (cursor) => {
    const node = text(cursor, "project");
    if (node?.kind !== "scalar" || choices.includes(node.text)) return node;
    const hint = didYouMean(node.text, choices);
    cursor.diagnostics.error(
      cursor,
      `${JSON.stringify(node.text)} is invalid: use ${choices.join(", ")}${hint}`,
    );
    return undefined;
  });
}

/** Text that matches a pattern. */
export function matching(pattern: RegExp, hint: string): Shape {
  return defineShape({ kind: "scalar", types: ["string"], pattern: pattern.source }, (cursor) => {
    const node = text(cursor, "project");
    if (node?.kind !== "scalar" || pattern.test(node.text)) return node;
    cursor.diagnostics.error(cursor, `${JSON.stringify(node.text)} is invalid: ${hint}`);
    return undefined;
  });
}

/** A boolean, including text such as `yes` and `off`. */
export const flag: Shape = defineShape(
  { kind: "scalar", types: ["boolean", "string"], pattern: FLAG_TEXT },
  (cursor) => {
    const value = readFlag(cursor);
    return value === undefined ? undefined : scalarNode(value, cursor.position);
  },
);

/** A whole number, which may be quoted. */
export const integer: Shape = defineShape(
  { kind: "scalar", types: ["integer", "string"], pattern: INTEGER.source },
  (cursor) => {
    const { node } = cursor;
    const written = node.kind === "scalar" ? String(node.value ?? "") : "";
    if (INTEGER.test(written)) return scalarNode(Number(written), node.position);
    return reportWrongType(cursor, "a whole number");
  },
);

/** A whole number. As in Compose, the fraction of an unquoted number is dropped. */
export const truncatedInteger: Shape = defineShape(
  { kind: "scalar", types: ["number", "string"], pattern: INTEGER.source },
  (cursor, stage) => {
    const { node } = cursor;
    const isNumber = node.kind === "scalar" && typeof node.value === "number";
    return isNumber ? scalarNode(Math.trunc(Number(node.value)), node.position) : integer(cursor, stage);
  },
);

/** A decimal number, which may be quoted. */
export const decimal: Shape = defineShape(
  { kind: "scalar", types: ["number", "string"], pattern: DECIMAL.source },
  (cursor) => {
    const { node } = cursor;
    const written = node.kind === "scalar" ? String(node.value ?? "") : "";
    if (DECIMAL.test(written)) return scalarNode(Number(written), node.position);
    return reportWrongType(cursor, "a number");
  },
);

/** A duration as text. The canonical form is Go's, for example `1m30s`. */
export const duration: Shape = defineShape(TEXT_SCHEMA, (cursor) => {
  const { node } = cursor;
  // A bare number has a better message than "must be text".
  const written = node.kind === "scalar" && typeof node.value === "number" ? node.text : undefined;
  const value = written ?? scalarValueText(text(cursor, "project"));
  const parsed = value === undefined ? undefined : reportInvalid(cursor, parseDurationNs(value));
  return parsed === undefined ? undefined : scalarNode(formatGoDuration(parsed), node.position);
});

/** A size as text or a number of bytes. The canonical form is the number of bytes as text. */
export const bytes: Shape = defineShape(NUMBER_OR_TEXT_SCHEMA, (cursor) => {
  const { node } = cursor;
  if (node.kind !== "scalar" || node.value === null || typeof node.value === "boolean") {
    return reportWrongType(cursor, "a size");
  }
  const written = String(node.value);
  // -1 means unlimited in `memswap_limit`.
  if (written === "-1") return scalarNode("-1", node.position);
  const parsed = reportInvalid(cursor, parseBytes(written));
  return parsed === undefined ? undefined : scalarNode(String(parsed), node.position, node.text);
});

/** A size as text only, as under `deploy`. */
export const bytesText: Shape = defineShape(TEXT_SCHEMA, (cursor, stage) => {
  const node = text(cursor, stage);
  if (node?.kind === "scalar" && node.text === "-1") {
    cursor.diagnostics.error(cursor, '"-1" is not a size: leave out the key for no limit');
    return undefined;
  }
  const size = node && bytes(cursor, stage);
  // Docker takes 0 for no limit.
  return size?.kind === "scalar" && size.value === "0" ? undefined : size;
});

/** A number of CPUs. */
export const cpus: Shape = defineShape(NUMBER_OR_TEXT_SCHEMA, (cursor) => {
  const { node } = cursor;
  if (node.kind !== "scalar" || node.value === null || typeof node.value === "boolean") {
    return reportWrongType(cursor, "a number of CPUs");
  }
  const parsed = reportInvalid(cursor, parseNanoCpus(String(node.value)));
  return parsed === undefined ? undefined : scalarNode(parsed / 1e9, node.position);
});

/** Any value. Compose does not interpret it. */
export const anything: Shape = defineShape({ kind: "anything" }, ({ node }) => node);

/** A value, or null for its default. */
export function nullable(shape: Shape): Shape {
  return defineShape(choiceOf(shape.schema, NULL_SCHEMA), (cursor, stage) =>
    isNull(cursor.node) ? cursor.node : shape(cursor, stage),
  );
}

export interface ListOptions {
  /**
   * Returns a key of an item in its canonical form. A later item replaces an earlier one with the same key, as in Compose,
   * which is worth a warning when they differ.
   */
  readonly keyOf?: (item: Node) => string;
  /** Whether equal items are an error. */
  readonly isSet?: boolean;
}

/** A list. A shape of an item can return a list, for an item that stands for several. */
export function listOf(shape: Shape, { keyOf, isSet = false }: ListOptions = {}): Shape {
  return defineShape(listSchema(shape.schema, isSet), (cursor, stage) => {
    const items = readItems(cursor);
    if (items === undefined) return undefined;
    if (isSet) reportEqualItems(items);
    const expanded = items.flatMap((item) => {
      const node = shape(item, stage);
      if (node === undefined) return [];
      return node.kind === "list" && item.node.kind !== "list" ? node.items : [node];
    });
    if (keyOf === undefined) return listNode(expanded, cursor.position);
    if (stage === "file") warnAboutReplacements(cursor, expanded, keyOf);
    return listNode(uniqueItems(expanded, keyOf), cursor.position);
  });
}

function warnAboutReplacements(
  { path, diagnostics }: Cursor,
  items: readonly Node[],
  keyOf: (item: Node) => string,
): void {
  const earlier = new Map<string, Node>();
  for (const [index, item] of items.entries()) {
    const key = keyOf(item);
    const other = earlier.get(key);
    earlier.set(key, item);
    if (key === "" || other === undefined || haveEqualValues(other, item)) continue;
    const place = { position: item.position, path: `${path}[${index}]` };
    diagnostics.warn(place, `the list has ${key} twice: the last one is used`);
  }
}

/** Options of a list of text in which a later item replaces an equal one. */
export const uniqueTexts: ListOptions = {
  keyOf: (item) => (item.kind === "scalar" ? item.text : ""),
};

/** Text or a list of text. */
export function oneOrMore(shape: Shape, options?: ListOptions): Shape {
  const list = listOf(shape, options);
  return defineShape(choiceOf(shape.schema, list.schema), (cursor, stage) => {
    if (cursor.node.kind === "list") return list(cursor, stage);
    const node = shape(cursor, stage);
    return node && listNode([node], cursor.position);
  });
}

function reportEqualItems(items: readonly Cursor[]): void {
  const seen = new Set<string>();
  for (const item of items) {
    if (item.node.kind !== "scalar") continue;
    const key = scalarText(item.node);
    if (seen.has(key))
      item.diagnostics.error(item, `${JSON.stringify(key)} is in the list twice: remove one`);
    seen.add(key);
  }
}

/** A mapping with known keys, and extensions (`x-…`), which are kept as they are. */
export function fields(keys: Keys, required: readonly string[] = []): Shape {
  const schemas = Object.entries(keys).map(([name, { shape, about }]) => {
    return [name, { schema: shape.schema, about }] as const;
  });
  const schema: ValueSchema = { kind: "map", keys: Object.fromEntries(schemas), required };
  return defineShape(schema, (cursor, stage) => {
    const { node } = cursor;
    if (node.kind !== "map") return reportWrongType(cursor, "a mapping");
    const entries = new Map<string, MapEntry>();
    for (const [name, field] of listFields(cursor)) {
      const value = canonicalizeField(field, { keys, name, stage });
      if (value !== undefined) entries.set(name, { keyPosition: field.keyPosition, value });
    }
    if (stage === "project") reportMissingKeys(cursor, required);
    return { ...node, entries };
  });
}

interface Field {
  readonly keys: Keys;
  readonly name: string;
  readonly stage: Stage;
}

function canonicalizeField(field: Cursor, { keys, name, stage }: Field): Node | undefined {
  const known = Object.hasOwn(keys, name) ? keys[name] : undefined;
  if (known !== undefined) return canonicalizeValue(field, known.shape, stage);
  if (name.startsWith("x-")) return field.node;
  const hint = didYouMean(name, Object.keys(keys));
  field.diagnostics.error(keyPlace(field), `unknown key ${JSON.stringify(name)}${hint}`);
  return undefined;
}

function reportMissingKeys(cursor: Cursor, required: readonly string[]): void {
  const present = listFields(cursor);
  for (const key of required) {
    if (present.has(key) || cursor.diagnostics.hasErrorUnder(`${cursor.path}.${key}`)) continue;
    cursor.diagnostics.error(keyPlace(cursor), `the key ${key} is missing`);
  }
}

/** A mapping whose keys are names that the user chooses. */
export function dictionary(
  shape: Shape,
  keyProblem: (key: string) => string | undefined = () => undefined,
): Shape {
  return defineShape({ kind: "dictionary", values: shape.schema }, (cursor, stage) => {
    const { node } = cursor;
    if (node.kind !== "map") return reportWrongType(cursor, "a mapping");
    const entries = new Map<string, MapEntry>();
    for (const [key, field] of listFields(cursor)) {
      const problem = keyProblem(key);
      if (problem !== undefined) field.diagnostics.error(keyPlace(field), problem);
      if (problem !== undefined) continue;
      // An entry with an invalid value keeps its name, so that references to it are not reported as well.
      const value = canonicalizeValue(field, shape, stage) ?? implied(scalarNode(null, field.position));
      entries.set(key, { keyPosition: field.keyPosition, value });
    }
    return { ...node, entries };
  });
}

/** Canonicalizes the value of a key, with the tags and null values that `mergeNodes` applies. */
function canonicalizeValue(cursor: Cursor, shape: Shape, stage: Stage): Node | undefined {
  const { node, diagnostics, path } = cursor;
  if (node.mergeTag === "reset" || (stage === "file" && isNull(node))) return node;
  // The value could not be read, which has been reported.
  if (isNull(node) && (node.isImplied === true || diagnostics.hasErrorUnder(path))) return node;
  const canonical = shape(cursor, stage);
  return canonical === undefined || node.mergeTag === undefined
    ? canonical
    : { ...canonical, mergeTag: node.mergeTag };
}

/**
 * A mapping of scalars, or a list of `KEY=VALUE`. The canonical form is a mapping to text. A key without a value is null,
 * or `valueOfNull` when that is given.
 */
export function keyValues(valueOfNull?: string): Shape {
  return defineShape(KEY_VALUES_SCHEMA, (cursor) => {
    const { node } = cursor;
    if (node.kind === "list") return keyValueList(cursor, valueOfNull);
    if (node.kind !== "map") return reportWrongType(cursor, "a mapping or a list");
    const entries = new Map<string, MapEntry>();
    for (const [key, field] of listFields(cursor)) {
      const value = keyValue(field, valueOfNull);
      if (value !== undefined) entries.set(key, { keyPosition: field.keyPosition, value });
    }
    return { ...node, entries };
  });
}

function keyValue(field: Cursor, valueOfNull: string | undefined): Node | undefined {
  const { node } = field;
  if (node.mergeTag !== undefined) return node;
  if (!isNull(node)) return scalarAsText(field, "project");
  return valueOfNull === undefined ? node : scalarNode(valueOfNull, node.position);
}

function keyValueList(cursor: Cursor, valueOfNull: string | undefined): Node {
  const entries = new Map<string, MapEntry>();
  for (const item of readItems(cursor) ?? []) {
    const node = text(item, "project");
    if (node?.kind !== "scalar") continue;
    const equals = node.text.indexOf("=");
    const key = equals < 0 ? node.text : node.text.slice(0, equals);
    const value = equals < 0 ? (valueOfNull ?? null) : node.text.slice(equals + 1);
    entries.set(key, { keyPosition: item.position, value: scalarNode(value, item.position) });
  }
  return { kind: "map", entries, position: cursor.position };
}

/** A command line: a list of words, or text that is split into words as a shell would. */
export const commandLine: Shape = defineShape(
  choiceOf(TEXT_SCHEMA, listSchema(TEXT_SCHEMA)),
  (cursor, stage) => {
    if (cursor.node.kind === "list") return listOf(text)(cursor, stage);
    const line = text(cursor, stage);
    if (line?.kind !== "scalar") return undefined;
    const split = splitShellWords(line.text);
    if (split.kind === "invalid") {
      cursor.diagnostics.error(cursor, `invalid command line: ${split.reason}`);
      return undefined;
    }
    if (split.ignored !== "") {
      const message = `${JSON.stringify(split.ignored)} is ignored, since no shell runs the command: use ["sh", "-c", "…"]`;
      cursor.diagnostics.warn(cursor, message);
    }
    const words = split.words.map((word) => scalarNode(word, line.position));
    return listNode(words, line.position);
  },
);

/** Returns the value of parsed text. Reports invalid text. */
export function reportInvalid<T>(cursor: Cursor, parsed: Parsed<T>): T | undefined {
  if (parsed.kind === "value") return parsed.value;
  cursor.diagnostics.error(cursor, parsed.reason);
  return undefined;
}

function scalarValueText(node: Node | undefined): string | undefined {
  return node?.kind === "scalar" ? scalarText(node) : undefined;
}
