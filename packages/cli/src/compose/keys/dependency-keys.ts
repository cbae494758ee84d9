import { type Cursor, keyPlace, readReferences } from "../cursor.js";
import type { KeyTable, ServiceDraft } from "../service-draft.js";
import { didYouMean } from "../suggest.js";

export const DEPENDENCY_KEYS: KeyTable<ServiceDraft> = {
  depends_on: (cursor, draft) => {
    const dependencies = readReferences(cursor);
    for (const [name, reference] of dependencies) checkDependency(name, reference, draft);
    if (dependencies.length === 0) return;
    const message = "not supported yet: services start at the same time, in no order";
    cursor.diagnostics.warn(keyPlace(cursor), message);
  },
};

function checkDependency(name: string, reference: Cursor, draft: ServiceDraft): void {
  const { serviceNames } = draft.context;
  if (serviceNames.has(name) || isOptional(reference)) return;
  const message = `there is no service ${JSON.stringify(name)}${didYouMean(name, serviceNames)}`;
  reference.diagnostics.error(keyPlace(reference), message);
}

function isOptional({ node }: Cursor): boolean {
  const required = node.kind === "map" ? node.entries.get("required")?.value : undefined;
  return required?.kind === "scalar" && String(required.value) === "false";
}
