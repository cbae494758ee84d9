import { didYouMean } from "../../text/suggest.js";
import { type Cursor, keyPlace, listFields, reportWrongType } from "../../tree/cursor.js";
import { implied, isNull, type MapEntry, type Node, scalarNode } from "../../tree/node.js";
import { defineShape, type Shape, type Stage } from "./shape.js";
import type { Example, KeyDocumentation, ValueSchema } from "./value-schema.js";

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
  const shape = Object.hasOwn(keys, name) ? keys[name] : undefined;
  if (shape !== undefined) return canonicalizeValue(field, shape.shape, stage);
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
  // An unreadable value has already been reported.
  if (isNull(node) && (node.isImplied === true || diagnostics.hasErrorUnder(path))) return node;
  const canonical = shape(cursor, stage);
  return canonical === undefined || node.mergeTag === undefined
    ? canonical
    : { ...canonical, mergeTag: node.mergeTag };
}
