import { taskTemplateProblem } from "../text/task-template.js";
import { readKeyValues } from "../tree/cursor.js";
import { type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

/** Reads the environment variables of a service. A variable without a value is not set. */
export const ENVIRONMENT_KEYS: KeyTable<ServiceDraft> = {
  environment: rule(readKeyValues, (draft, variables) => {
    for (const [name, { value, cursor }] of variables) {
      if (name === "") cursor.diagnostics.error(cursor, "the variable has no name");
      if (value === null) continue;
      const problem = taskTemplateProblem(value);
      if (problem !== undefined) {
        cursor.diagnostics.warnIgnored(cursor, `${problem}; the text is used unchanged`);
      }
      draft.environment.set(name, value);
    }
  }),
};
