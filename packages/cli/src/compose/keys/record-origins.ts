import { type Cursor, listFields, readItems } from "../tree/cursor.js";
import type { ServiceDraft } from "./service-draft.js";

/** Records where a field of the spec is written, including each item of a list and each entry of a mapping. */
export function recordOrigins({ origins }: ServiceDraft, path: string, cursor: Cursor): void {
  origins.set(path, cursor);
  if (cursor.node.kind === "list") {
    for (const [index, item] of (readItems(cursor) ?? []).entries()) origins.set(`${path}[${index}]`, item);
  }
  for (const [key, field] of listFields(cursor)) origins.set(`${path}.${key}`, field);
}
