import { Dependency_Condition, scopedName } from "@berth/proto";
import { didYouMean } from "../text/suggest.js";
import { type Cursor, keyPlace, readChoice, readFlag, readReferences } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

const CONDITIONS = {
  service_started: Dependency_Condition.STARTED,
  service_healthy: Dependency_Condition.HEALTHY,
  service_completed_successfully: Dependency_Condition.COMPLETED,
};

/** Reads `depends_on` of a service. */
export const DEPENDENCY_KEYS: KeyTable<ServiceDraft> = {
  depends_on: (cursor, draft) => {
    draft.origins.set("depends_on", cursor);
    for (const [name, reference] of readReferences(cursor)) addDependency(name, reference, draft);
  },
};

interface DependencyDraft {
  condition: Dependency_Condition;
  optional: boolean;
}

const LONG_FORM_KEYS: KeyTable<DependencyDraft> = {
  condition: rule(
    (cursor) => readChoice(cursor, CONDITIONS),
    (draft, condition) => {
      draft.condition = condition;
    },
  ),
  required: rule(readFlag, (draft, required) => {
    draft.optional = !required;
  }),
  restart: (cursor) => {
    if (readFlag(cursor) !== true) return;
    const message =
      "restarting with a dependency is not supported yet: updates of the dependency do not restart this service";
    cursor.diagnostics.warn(keyPlace(cursor), message);
  },
};

/** Adds a dependency. The default condition is that the dependency has started, as in Compose. */
function addDependency(name: string, reference: Cursor, draft: ServiceDraft): void {
  const dependency: DependencyDraft = { condition: Dependency_Condition.STARTED, optional: false };
  if (reference.node.kind === "map") applyKeys(reference, LONG_FORM_KEYS, dependency);
  const { project, serviceNames, disabledServices } = draft.context;
  if (!serviceNames.has(name)) {
    if (!dependency.optional) reportMissing(name, reference, { serviceNames, disabledServices });
    return;
  }
  const { dependsOn } = draft.spec;
  const service = scopedName(project.stack, name);
  if (dependsOn.some((existing) => existing.service === service)) return;
  draft.origins.set(`depends_on[${dependsOn.length}]`, keyPlace(reference));
  dependsOn.push({ service, ...dependency });
}

function reportMissing(
  name: string,
  reference: Cursor,
  { serviceNames, disabledServices }: Pick<ServiceDraft["context"], "serviceNames" | "disabledServices">,
): void {
  const profiles = disabledServices.get(name);
  const message =
    profiles === undefined
      ? `undefined service ${JSON.stringify(name)}${didYouMean(name, serviceNames)}`
      : `service ${JSON.stringify(name)} is disabled: set COMPOSE_PROFILES=${profiles.join(" or ")}, or set required: false`;
  reference.diagnostics.error(keyPlace(reference), message);
}
