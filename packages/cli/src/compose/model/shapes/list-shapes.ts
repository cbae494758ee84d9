import { type Cursor, readItems } from "../../tree/cursor.js";
import { itemKey, uniqueItems } from "../../tree/merge-rules.js";
import { haveEqualValues, listNode, type Node, scalarText } from "../../tree/node.js";
import { text } from "./scalar-shapes.js";
import { defineShape, type Shape } from "./shape.js";
import { choiceOf, listSchema } from "./value-schema.js";

// Shapes for lists in a Compose file.

export interface ListOptions {
  /**
   * Returns the key of a canonical item; "" if it has none. As in Compose, a later item replaces an earlier one with the
   * same key. A warning is printed if they differ.
   */
  readonly keyOf?: (item: Node) => string;
  /** Whether equal items are an error. */
  readonly rejectsDuplicates?: boolean;
}

/** Options for a list of text in which a later item replaces an earlier equal one. */
export const UNIQUE_TEXTS: ListOptions = {
  keyOf: (item) => (item.kind === "scalar" ? item.text : ""),
};

/** A list. An item's shape may return a list if one item expands to several. */
export function listOf(shape: Shape, { keyOf, rejectsDuplicates = false }: ListOptions = {}): Shape {
  return defineShape(listSchema(shape.schema, rejectsDuplicates), (cursor, stage) => {
    const items = readItems(cursor);
    if (items === undefined) return undefined;
    if (rejectsDuplicates) reportEqualItems(items);
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
    const key = itemKey(item, keyOf);
    const earlierItem = earlier.get(key);
    earlier.set(key, item);
    if (key === "" || earlierItem === undefined || haveEqualValues(earlierItem, item)) continue;
    const place = { position: item.position, path: `${path}[${index}]` };
    diagnostics.warn(place, `${JSON.stringify(key)} is in the list twice; the last one is used`);
  }
}

/** One item or a list of items. */
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
    if (seen.has(key)) {
      item.diagnostics.error(item, `${JSON.stringify(key)} is in the list twice; remove one`);
    }
    seen.add(key);
  }
}

/** A list of names. Equal names are an error. */
export const nameSet: Shape = listOf(text, { rejectsDuplicates: true });
