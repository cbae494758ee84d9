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

/**
 * Reads the key `restart`, such as `on-failure:3`. The rule for `deploy.restart_policy` runs later and overrides the
 * result.
 */
export function readRestart(cursor: Cursor, draft: ServiceDraft): void {
  // In YAML 1.1, an unquoted `no` is false, and tools that use it write `restart: false`. In YAML 1.2, `no` is text.
  const isOff = cursor.node.kind === "scalar" && cursor.node.value === false;
  const text = isOff ? "no" : readText(cursor);
  if (text === undefined) return;
  const [, policy, attempts] = RESTART_PATTERN.exec(text) ?? [];
  if (policy === undefined || (attempts !== undefined && policy !== "on-failure")) {
    const choices = "no, always, unless-stopped, on-failure or on-failure:3";
    cursor.diagnostics.error(cursor, `${JSON.stringify(text)} is invalid; use ${choices}`);
    return;
  }
  const maxAttempts = Number(attempts ?? 0);
  if (maxAttempts > ATTEMPTS_RANGE.max) {
    cursor.diagnostics.error(cursor, `${text} has too many attempts (maximum ${ATTEMPTS_RANGE.max})`);
    return;
  }
  draft.origins.set("task.restart", cursor);
  draft.restart.condition = restartCondition(policy);
  draft.restart.maxAttempts = maxAttempts;
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
      // Drops the attempts of the key `restart`, which this key replaces. The rule of `max_attempts` runs later.
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
