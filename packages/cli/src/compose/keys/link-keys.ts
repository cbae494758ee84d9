import { Dependency_Condition, scopedName } from "@berth/proto";
import { didYouMean } from "../text/suggest.js";
import { type Cursor, readItems, readText } from "../tree/cursor.js";
import type { ServiceDraft } from "./service-draft.js";

/** Reads `links: [db, "db:database"]`. As in Compose, a link is also a dependency on the linked service. */
export function readLinks(cursor: Cursor, draft: ServiceDraft): void {
  for (const item of readItems(cursor) ?? []) {
    const text = readText(item);
    if (text === undefined) continue;
    const [service = "", alias = service, ...rest] = text.split(":");
    const { serviceNames, disabledServices, project } = draft.context;
    if (disabledServices.has(service)) continue;
    if (!serviceNames.has(service) || rest.length > 0 || alias === "") {
      const hint = serviceNames.has(service) ? "" : didYouMean(service, serviceNames);
      item.diagnostics.error(
        item,
        `${JSON.stringify(text)} is not SERVICE or SERVICE:ALIAS of a service in this file${hint}`,
      );
      continue;
    }
    if (alias !== service) draft.links.push({ service, alias });
    const name = scopedName(project.stack, service);
    if (draft.spec.dependsOn.some((dependency) => dependency.service === name)) continue;
    draft.origins.set(`depends_on[${draft.spec.dependsOn.length}]`, item);
    draft.spec.dependsOn.push({ service: name, condition: Dependency_Condition.STARTED, optional: false });
  }
}
