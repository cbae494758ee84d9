import { didYouMean } from "../text/suggest.js";
import { type Cursor, keyPlace, readFields } from "./cursor.js";
import { isNull } from "./node.js";

/** Reads the value of one key of a mapping into a draft. */
export type KeyRule<Draft> = (cursor: Cursor, draft: Draft) => void;

/** The rules for all keys of a mapping. They run in the order of the table, not of the file. */
export type KeyTable<Draft> = Readonly<Record<string, KeyRule<Draft>>>;

/** Creates a rule that reads a value and, if it is valid, writes it to the draft. */
export function rule<T, Draft>(
  read: (cursor: Cursor) => T | undefined,
  write: (draft: Draft, value: T, cursor: Cursor) => void,
): KeyRule<Draft> {
  return (cursor, draft) => {
    const value = read(cursor);
    if (value !== undefined) write(draft, value, cursor);
  };
}

/** Runs the rule of each key in a mapping. A key without a rule is an error. A key with a null value is skipped. */
export function applyKeys<Draft>(cursor: Cursor, table: KeyTable<Draft>, draft: Draft): void {
  const fields = readFields(cursor);
  if (fields === undefined) return;
  for (const [key, field] of fields) {
    if (!Object.hasOwn(table, key)) reportUnknownKey(key, field, Object.keys(table));
  }
  for (const [key, apply] of Object.entries(table)) {
    const field = fields.get(key);
    if (field !== undefined && !isNull(field.node)) apply(field, draft);
  }
}

function reportUnknownKey(key: string, field: Cursor, known: readonly string[]): void {
  field.diagnostics.error(keyPlace(field), `unknown key ${JSON.stringify(key)}${didYouMean(key, known)}`);
}
