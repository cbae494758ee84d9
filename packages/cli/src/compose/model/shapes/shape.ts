import type { Parsed } from "../../text/parsed.js";
import { type Cursor, keyPlace } from "../../tree/cursor.js";
import { hasVariables, isNull, type Node } from "../../tree/node.js";
import { choiceOf, NULL_SCHEMA, type ValueSchema } from "./value-schema.js";

/**
 * The tree to canonicalize. A single file may lack keys that another file of the project sets, and its null values keep
 * the values of earlier files. In the merged tree of the project, both are errors.
 */
export type Stage = "file" | "project";

/**
 * Returns the canonical form of a value, in which all short forms are expanded. The canonical form of a canonical value
 * is the value itself. Reports an invalid value, and returns undefined if nothing of it can be kept.
 */
export type ReadShape = (cursor: Cursor, stage: Stage) => Node | undefined;

/** Reads the values of a part of a Compose file, and describes them. */
export interface Shape extends ReadShape {
  /** The values that are valid in a file. */
  readonly schema: ValueSchema;
}

/** Creates a shape. A value whose variables were not replaced can have any form, so it is kept as it is. */
export function defineShape(schema: ValueSchema, read: ReadShape): Shape {
  const readValue: ReadShape = (cursor, stage) => {
    const isUnknown = hasVariables(cursor.node) && schema.kind !== "nothing";
    return isUnknown ? cursor.node : read(cursor, stage);
  };
  return Object.assign(readValue, { schema });
}

/** A key that is always an error, with specific advice. */
export function rejected(message: string): Shape {
  return defineShape({ kind: "nothing" }, (cursor) => {
    cursor.diagnostics.error(keyPlace(cursor), message);
    return undefined;
  });
}

/** Any value. Compose does not interpret it. */
export const anything: Shape = defineShape({ kind: "anything" }, ({ node }) => node);

/** A value, or null for its default. */
export function nullable(shape: Shape): Shape {
  return defineShape(choiceOf(shape.schema, NULL_SCHEMA), (cursor, stage) =>
    isNull(cursor.node) ? cursor.node : shape(cursor, stage),
  );
}

/** Returns the value of parsed text. Reports invalid text. */
export function reportInvalid<T>(cursor: Cursor, parsed: Parsed<T>): T | undefined {
  if (parsed.kind === "value") return parsed.value;
  cursor.diagnostics.error(cursor, parsed.reason);
  return undefined;
}
