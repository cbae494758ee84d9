import { type Cursor, readItems, readText } from "../tree/cursor.js";
import type { ServiceDraft } from "./service-draft.js";

/** Reads the aliases of `links: [db, "db:database"]`. */
export function readLinks(cursor: Cursor, draft: ServiceDraft): void {
  for (const item of readItems(cursor) ?? []) {
    const text = readText(item);
    if (text === undefined) continue;
    const [service = "", alias = service, ...rest] = text.split(":");
    if (rest.length > 0 || alias === "") {
      item.diagnostics.error(item, `${JSON.stringify(text)} is not SERVICE or SERVICE:ALIAS`);
    } else if (alias !== service) draft.links.push({ service, alias });
  }
}
