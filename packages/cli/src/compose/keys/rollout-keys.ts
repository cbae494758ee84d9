import { UpdateConfig, UpdateConfig_FailureAction, UpdateConfig_Order } from "@berth/proto";
import { type Cursor, readChoice, readDurationMs, readInteger, readNumber } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

const SLOTS_RANGE = { min: 0, max: 2 ** 31 - 1 };
const RATIO_RANGE = { min: 0, max: 1 };
const UPDATE_ORDERS = {
  "stop-first": UpdateConfig_Order.STOP_FIRST,
  "start-first": UpdateConfig_Order.START_FIRST,
};
const ROLLBACK_ACTIONS = {
  pause: UpdateConfig_FailureAction.PAUSE,
  continue: UpdateConfig_FailureAction.CONTINUE,
};
const UPDATE_ACTIONS = { ...ROLLBACK_ACTIONS, rollback: UpdateConfig_FailureAction.ROLLBACK };

/** Reads `deploy.update_config`. */
export function readUpdateConfig(cursor: Cursor, draft: ServiceDraft): void {
  draft.origins.set("update", cursor);
  applyKeys(cursor, UPDATE_KEYS, draft.update);
}

/** Reads `deploy.rollback_config`. */
export function readRollbackConfig(cursor: Cursor, draft: ServiceDraft): void {
  draft.origins.set("rollback", cursor);
  const rollback = UpdateConfig.fromPartial({});
  applyKeys(cursor, ROLLBACK_KEYS, rollback);
  draft.spec.rollback = rollback;
}

const UPDATE_KEYS: KeyTable<UpdateConfig> = {
  parallelism: rule(
    (cursor) => readInteger(cursor, SLOTS_RANGE),
    (config, parallelism) => {
      config.parallelism = parallelism;
    },
  ),
  delay: rule(readDurationMs, (config, ms) => {
    config.delayMs = ms;
  }),
  failure_action: failureActionRule(UPDATE_ACTIONS),
  monitor: rule(readDurationMs, (config, ms) => {
    config.monitorMs = ms;
  }),
  max_failure_ratio: rule(
    (cursor) => readNumber(cursor, RATIO_RANGE),
    (config, ratio) => {
      config.maxFailureRatio = ratio;
    },
  ),
  order: rule(
    (cursor) => readChoice(cursor, UPDATE_ORDERS),
    (config, order) => {
      config.order = order;
    },
  ),
};

/** Keys of `rollback_config`. A failed rollback cannot be rolled back, so there is no failure action for this. */
const ROLLBACK_KEYS: KeyTable<UpdateConfig> = {
  ...UPDATE_KEYS,
  failure_action: failureActionRule(ROLLBACK_ACTIONS),
};

function failureActionRule(choices: Readonly<Record<string, UpdateConfig_FailureAction>>) {
  return rule<UpdateConfig_FailureAction, UpdateConfig>(
    (cursor) => readChoice(cursor, choices),
    (config, action) => {
      config.failureAction = action;
    },
  );
}
