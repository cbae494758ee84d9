import type { KeyTable } from "../keys/service-draft.js";
import { didYouMean } from "../text/suggest.js";
import { type Cursor, keyPlace, readFields } from "./cursor.js";
import { isNull } from "./node.js";

/** Runs the rule of every key that a mapping has. Keys without a rule are errors, keys without a value are absent. */
export function applyKeys<Draft>(cursor: Cursor, table: KeyTable<Draft>, draft: Draft): void {
  const fields = readFields(cursor);
  if (fields === undefined) return;
  for (const [key, field] of fields) {
    if (!Object.hasOwn(table, key)) reportUnknown(key, field, Object.keys(table));
  }
  for (const [key, apply] of Object.entries(table)) {
    const field = fields.get(key);
    if (field !== undefined && !isNull(field.node)) apply(field, draft);
  }
}

function reportUnknown(key: string, field: Cursor, known: readonly string[]): void {
  field.diagnostics.error(keyPlace(field), `unknown key ${JSON.stringify(key)}${didYouMean(key, known)}`);
}
