import { Diagnostics } from "../../../compose/text/diagnostics.js";
import { createSource } from "../../../compose/text/source.js";
import { rootCursor } from "../../../compose/tree/cursor.js";
import { applyKeys, type KeyTable } from "../../../compose/tree/key-table.js";
import { type MapEntry, scalarNode } from "../../../compose/tree/node.js";

/**
 * Reads a flag value such as `type=bind,source=/a,readonly` into a draft, by the same kind of key rules as Compose
 * files. A key without a value has the value "true". If a key is repeated, the last value wins. Returns the first
 * problem, or undefined if the value is valid.
 */
export function applyFlagFields<Draft>(
  text: string,
  table: KeyTable<Draft>,
  draft: Draft,
): string | undefined {
  const source = createSource("flag", text);
  const entries = new Map<string, MapEntry>();
  let start = 0;
  for (const field of text.split(",")) {
    const fieldPosition = { source, start, end: start + field.length };
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).trim().toLowerCase();
    const value = equals < 0 ? "true" : field.slice(equals + 1);
    entries.set(key, { keyPosition: fieldPosition, value: scalarNode(value, fieldPosition) });
    start = fieldPosition.end + 1;
  }
  const diagnostics = new Diagnostics();
  const position = { source, start: 0, end: text.length };
  applyKeys(rootCursor({ kind: "map", entries, position }, diagnostics), table, draft);
  const [first] = diagnostics.sorted();
  if (first === undefined) return undefined;
  return first.path === "" ? first.message : `${first.path}: ${first.message}`;
}
