import { type Cursor, readInteger, readItems, readText } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

const COUNT_RANGE = { min: 0, max: 2 ** 31 - 1 };

/** Reads `deploy.placement`: constraints, preferences and the limit per node. */
export const PLACEMENT_KEYS: KeyTable<ServiceDraft> = {
  constraints: (cursor, draft) => {
    for (const item of readItems(cursor) ?? []) {
      const text = readText(item);
      // An unset variable results in an empty constraint, which Compose accepts.
      if (text?.trim() === "") {
        item.diagnostics.warn(item, "the constraint is empty: tasks can run on any node");
      } else if (text !== undefined) {
        addConstraint(item, text, draft);
      }
    }
  },
  max_replicas_per_node: rule(
    (cursor) => readInteger(cursor, COUNT_RANGE),
    ({ placement }, limit) => {
      placement.maxReplicasPerNode = limit;
    },
  ),
  preferences: (cursor, draft) => {
    for (const item of readItems(cursor) ?? []) applyKeys(item, PREFERENCE_KEYS, draft);
  },
};

const PREFERENCE_KEYS: KeyTable<ServiceDraft> = {
  spread: rule(readText, ({ placement, origins }, attribute, cursor) => {
    origins.set(`placement.spread[${placement.spread.length}]`, cursor);
    placement.spread.push(attribute.trim());
  }),
};

function addConstraint(cursor: Cursor, text: string, draft: ServiceDraft): void {
  const { constraints } = draft.placement;
  draft.origins.set(`placement.constraints[${constraints.length}]`, cursor);
  constraints.push(text);
}
