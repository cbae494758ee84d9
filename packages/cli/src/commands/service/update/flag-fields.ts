import { Diagnostics } from "../../../compose/text/diagnostics.js";
import { createSource } from "../../../compose/text/source.js";
import { rootCursor } from "../../../compose/tree/cursor.js";
import { applyKeys, type KeyTable } from "../../../compose/tree/key-table.js";
import type { MapEntry } from "../../../compose/tree/node.js";

/**
 * Reads a flag value such as `type=bind,source=/a,readonly` with the key rules that also read Compose files. A key
 * without a value is "true"; the last one of equal keys wins. Returns the first problem, if there is one.
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
    const position = { source, start, end: start + field.length };
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).trim().toLowerCase();
    const value = equals < 0 ? "true" : field.slice(equals + 1);
    entries.set(key, { keyPosition: position, value: { kind: "scalar", value, text: value, position } });
    start = position.end + 1;
  }
  const diagnostics = new Diagnostics();
  const whole = { source, start: 0, end: text.length };
  applyKeys(rootCursor({ kind: "map", entries, position: whole }, diagnostics), table, draft);
  const [first] = diagnostics.sorted();
  if (first === undefined) return undefined;
  // "unknown key" names the key already.
  const { path, message } = first;
  return path === "" || message.startsWith("unknown key") ? message : `${path}: ${message}`;
}
