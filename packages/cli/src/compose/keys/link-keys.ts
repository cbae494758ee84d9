import { type Cursor, readItems, readText } from "../tree/cursor.js";
import { reservedKeyProblem } from "../tree/reserved-key.js";
import type { Link, ServiceDraft } from "./service-draft.js";

/** Reads the aliases of `links: [db, "db:database"]`. */
export function readLinks(cursor: Cursor, draft: ServiceDraft): void {
  for (const link of readLinkItems(cursor, "SERVICE")) {
    if (link.alias !== link.service) draft.links.push(link);
  }
}

/**
 * Reads `external_links: ["shop-db-1:db"]`, links to containers outside of the stack. As in Docker, the names resolve
 * if the container is in a network of the service.
 */
export function readExternalLinks(cursor: Cursor, draft: ServiceDraft): void {
  draft.origins.set("task.container.links", cursor);
  for (const { service, alias } of readLinkItems(cursor, "CONTAINER")) draft.container.links[alias] = service;
}

/** Reads a list of `NAME` or `NAME:ALIAS`. Errors call the name by its placeholder, such as SERVICE. */
function readLinkItems(cursor: Cursor, placeholder: string): readonly Link[] {
  return (readItems(cursor) ?? []).flatMap((item) => {
    const text = readText(item);
    if (text === undefined) return [];
    const [service = "", alias = service, ...rest] = text.split(":");
    const isComplete = rest.length === 0 && service !== "" && alias !== "";
    const problem = isComplete
      ? reservedKeyProblem(alias)
      : `${JSON.stringify(text)} is not ${placeholder} or ${placeholder}:ALIAS`;
    if (problem === undefined) return [{ service, alias }];
    item.diagnostics.error(item, problem);
    return [];
  });
}
