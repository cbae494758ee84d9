import { Dependency_Condition, scopedName } from "@berth/proto";
import { type Cursor, keyPlace, listFields, readChoice, readFlag } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

const DEPENDENCY_CONDITIONS = {
  service_started: Dependency_Condition.STARTED,
  service_healthy: Dependency_Condition.HEALTHY,
  service_completed_successfully: Dependency_Condition.COMPLETED,
};

/** Reads `depends_on` of a service. */
export const DEPENDENCY_KEYS: KeyTable<ServiceDraft> = {
  depends_on: (cursor, draft) => {
    draft.origins.set("depends_on", cursor);
    for (const [name, reference] of listFields(cursor)) addDependency(name, reference, draft);
  },
};

interface DependencyDraft {
  condition: Dependency_Condition;
  optional: boolean;
  restart: boolean;
}

const DEPENDENCY_FIELDS: KeyTable<DependencyDraft> = {
  condition: rule(
    (cursor) => readChoice(cursor, DEPENDENCY_CONDITIONS),
    (draft, condition) => {
      draft.condition = condition;
    },
  ),
  required: rule(readFlag, (draft, required) => {
    draft.optional = !required;
  }),
  restart: rule(readFlag, (draft, restart) => {
    draft.restart = restart;
  }),
};

/** Adds a dependency. Leaves out a service that is not deployed: it is optional, or has been reported. */
function addDependency(name: string, reference: Cursor, draft: ServiceDraft): void {
  const { stack, serviceNames } = draft.context;
  if (!serviceNames.has(name)) return;
  const dependency: DependencyDraft = {
    condition: Dependency_Condition.STARTED,
    optional: false,
    restart: false,
  };
  // Implied dependencies, for example from links, have the default condition.
  if (reference.node.isImplied !== true) applyKeys(reference, DEPENDENCY_FIELDS, dependency);
  const { dependsOn } = draft.spec;
  draft.origins.set(`depends_on[${dependsOn.length}]`, keyPlace(reference));
  dependsOn.push({ service: scopedName(stack, name), ...dependency });
}
