import { RestartPolicy_Condition } from "@berth/proto";
import { invalid, type Parsed, parseBytes, parseNanoCpus, value } from "../../../compose/text/units.js";
import { type Edit, edit, inResources, inRestart } from "./edit.js";
import { choice, count, durationMs, fullKeyValue, nonEmptyText, withoutKey } from "./flag-values.js";

const CONDITIONS = {
  any: RestartPolicy_Condition.ANY,
  "on-failure": RestartPolicy_Condition.ON_FAILURE,
  none: RestartPolicy_Condition.NONE,
};

/** The flags that change resource limits, reservations and the restart policy. */
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
    count,
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
    nonEmptyText,
    inResources("reservations", ({ generic }, kind) => ({ generic: withoutKey(generic, kind) })),
  ),
  "generic-resource-add": edit(
    parseGenericResource,
    inResources("reservations", ({ generic }, { kind, amount }) => ({
      generic: { ...generic, [kind]: amount },
    })),
  ),
  "restart-condition": edit(
    choice(CONDITIONS),
    inRestart((_, condition) => ({ condition })),
  ),
  "restart-delay": edit(
    durationMs,
    inRestart((_, delayMs) => ({ delayMs })),
  ),
  "restart-max-attempts": edit(
    count,
    inRestart((_, maxAttempts) => ({ maxAttempts })),
  ),
  "restart-window": edit(
    durationMs,
    inRestart((_, windowMs) => ({ windowMs })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Parses `gpu=1`. */
function parseGenericResource(text: string): Parsed<{ readonly kind: string; readonly amount: number }> {
  const pair = fullKeyValue(text);
  if (pair.kind === "invalid") return pair;
  const amount = count(pair.value.value);
  return amount.kind === "invalid"
    ? invalid(`${JSON.stringify(text)} is not KIND=COUNT`)
    : value({ kind: pair.value.key, amount: amount.value });
}
