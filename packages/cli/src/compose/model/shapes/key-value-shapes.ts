import { type Cursor, listFields, readItems, reportWrongType } from "../../tree/cursor.js";
import { hasVariables, isNull, type MapEntry, type Node, scalarNode } from "../../tree/node.js";
import { reservedKeyProblem } from "../../tree/reserved-key.js";
import { dictionary } from "./map-shapes.js";
import { scalarAsText, text } from "./scalar-shapes.js";
import { defineShape, type Shape } from "./shape.js";
import { choiceOf, listSchema, TEXT_SCHEMA } from "./value-schema.js";

const KEY_VALUES_SCHEMA = choiceOf(
  { kind: "dictionary", values: { kind: "scalar", types: ["string", "number", "boolean", "null"] } },
  listSchema(TEXT_SCHEMA),
);

/** A mapping whose scalar values are converted to text. */
export const textDictionary: Shape = dictionary(scalarAsText);

/**
 * A mapping of scalars, or a list of `KEY=VALUE`. The canonical form is a mapping to text. A key without a value is null,
 * or `nullValue` when that is given.
 */
export function keyValues(nullValue?: string): Shape {
  return defineShape(KEY_VALUES_SCHEMA, (cursor) => {
    const { node } = cursor;
    if (node.kind === "list") return convertList(cursor, nullValue);
    if (node.kind !== "map") return reportWrongType(cursor, "a mapping or a list");
    const entries = new Map<string, MapEntry>();
    for (const [key, field] of listFields(cursor)) {
      const value = convertValue(field, nullValue);
      if (value !== undefined) entries.set(key, { keyPosition: field.keyPosition, value });
    }
    return { ...node, entries };
  });
}

function convertValue(field: Cursor, nullValue: string | undefined): Node | undefined {
  const { node } = field;
  if (node.mergeTag !== undefined) return node;
  if (!isNull(node)) return scalarAsText(field, "project");
  return nullValue === undefined ? node : scalarNode(nullValue, node.position);
}

/** Returns whether the key of a `KEY=VALUE` item contains no variable. */
function hasPlainKey(node: Node): boolean {
  return node.kind === "scalar" && /^[^$=]*=/.test(node.text);
}

function convertList(cursor: Cursor, nullValue: string | undefined): Node {
  const entries = new Map<string, MapEntry>();
  const items = readItems(cursor) ?? [];
  // Left as a list, because a mapping cannot have variables in its keys.
  if (items.some(({ node }) => hasVariables(node) && !hasPlainKey(node))) return cursor.node;
  for (const item of items) {
    const node = text(item, "project");
    if (node?.kind !== "scalar") continue;
    const equals = node.text.indexOf("=");
    const key = equals < 0 ? node.text : node.text.slice(0, equals);
    const problem = reservedKeyProblem(key);
    if (problem !== undefined) {
      item.diagnostics.error(item, problem);
      continue;
    }
    const value = equals < 0 ? (nullValue ?? null) : node.text.slice(equals + 1);
    entries.set(key, { keyPosition: item.position, value: scalarNode(value, item.position) });
  }
  return { kind: "map", entries, position: cursor.position };
}
