import { RestartPolicy_Condition } from "@berth/proto";
import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { parseBytes, parseDurationMs, parseNanoCpus } from "../../../compose/text/units.js";
import { type Edit, edit, inResources, inRestart } from "./edit.js";
import {
  choiceParser,
  parseAssignment,
  parseCount,
  parseNonEmptyText,
  removeKey,
} from "./parse-flag-values.js";

const RESTART_CONDITIONS = {
  any: RestartPolicy_Condition.ANY,
  "on-failure": RestartPolicy_Condition.ON_FAILURE,
  none: RestartPolicy_Condition.NONE,
};

/** Flags that change resource limits, reservations and the restart policy. */
export const RESOURCE_EDITS = {
  "limit-cpu": edit(
    parseNanoCpus,
    inResources("limits", (_, nanoCpus) => ({ nanoCpus })),
  ),
  "limit-memory": edit(
    parseBytes,
    inResources("limits", (_, memoryBytes) => ({ memoryBytes })),
  ),
  "limit-pids": edit(
    parseCount,
    inResources("limits", (_, pids) => ({ pids })),
  ),
  "reserve-cpu": edit(
    parseNanoCpus,
    inResources("reservations", (_, nanoCpus) => ({ nanoCpus })),
  ),
  "reserve-memory": edit(
    parseBytes,
    inResources("reservations", (_, memoryBytes) => ({ memoryBytes })),
  ),
  "generic-resource-rm": edit(
    parseNonEmptyText,
    inResources("reservations", ({ generic }, kind) => ({ generic: removeKey(generic, kind) })),
  ),
  "generic-resource-add": edit(
    parseGenericResource,
    inResources("reservations", ({ generic }, { kind, amount }) => ({
      generic: { ...generic, [kind]: amount },
    })),
  ),
  "restart-condition": edit(
    choiceParser(RESTART_CONDITIONS),
    inRestart((_, condition) => ({ condition })),
  ),
  "restart-delay": edit(
    parseDurationMs,
    inRestart((_, delayMs) => ({ delayMs })),
  ),
  "restart-max-attempts": edit(
    parseCount,
    inRestart((_, maxAttempts) => ({ maxAttempts })),
  ),
  "restart-window": edit(
    parseDurationMs,
    inRestart((_, windowMs) => ({ windowMs })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Parses `gpu=1`. */
function parseGenericResource(text: string): Parsed<{ readonly kind: string; readonly amount: number }> {
  const pair = parseAssignment(text);
  if (pair.kind === "invalid") return pair;
  const amount = parseCount(pair.value.value);
  return amount.kind === "invalid"
    ? invalid(`${JSON.stringify(text)} is not KIND=COUNT`)
    : valid({ kind: pair.value.key, amount: amount.value });
}
