import { type RestartPolicy, RestartPolicy_Condition } from "@berth/proto";
import { type Cursor, readChoice, readDurationMs, readInteger, readText } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

const ATTEMPTS_RANGE = { min: 0, max: 2 ** 31 - 1 };
const RESTART_PATTERN = /^(no|always|unless-stopped|on-failure)(?::(\d+))?$/;
const RESTART_CONDITIONS = {
  any: RestartPolicy_Condition.ANY,
  "on-failure": RestartPolicy_Condition.ON_FAILURE,
  none: RestartPolicy_Condition.NONE,
};

/** Reads `restart: on-failure:3`. The rule for `deploy.restart_policy` runs later and overrides the result. */
export function readRestart(cursor: Cursor, draft: ServiceDraft): void {
  // YAML 1.2 reads an unquoted `no` as text. Older tools write it as `false`.
  const isOff = cursor.node.kind === "scalar" && cursor.node.value === false;
  const text = isOff ? "no" : readText(cursor);
  if (text === undefined) return;
  const [, policy, attempts] = RESTART_PATTERN.exec(text) ?? [];
  if (policy === undefined || (attempts !== undefined && policy !== "on-failure")) {
    const choices = "no, always, unless-stopped, on-failure or on-failure:3";
    cursor.diagnostics.error(cursor, `${JSON.stringify(text)} is invalid; use ${choices}`);
    return;
  }
  draft.origins.set("task.restart", cursor);
  draft.restart.condition = restartCondition(policy);
  draft.restart.maxAttempts = Number(attempts ?? 0);
}

/** Reads `deploy.restart_policy`. */
export function readRestartPolicy(cursor: Cursor, draft: ServiceDraft): void {
  draft.origins.set("task.restart", cursor);
  applyKeys(cursor, RESTART_POLICY_KEYS, draft.restart);
}

function restartCondition(policy: string): RestartPolicy_Condition {
  if (policy === "no") return RestartPolicy_Condition.NONE;
  return policy === "on-failure" ? RestartPolicy_Condition.ON_FAILURE : RestartPolicy_Condition.ANY;
}

const RESTART_POLICY_KEYS: KeyTable<RestartPolicy> = {
  condition: rule(
    (cursor) => readChoice(cursor, RESTART_CONDITIONS),
    (policy, condition) => {
      policy.condition = condition;
      policy.maxAttempts = 0;
    },
  ),
  delay: rule(readDurationMs, (policy, ms) => {
    policy.delayMs = ms;
  }),
  max_attempts: rule(
    (cursor) => readInteger(cursor, ATTEMPTS_RANGE),
    (policy, attempts) => {
      policy.maxAttempts = attempts;
    },
  ),
  window: rule(readDurationMs, (policy, ms) => {
    policy.windowMs = ms;
  }),
};
