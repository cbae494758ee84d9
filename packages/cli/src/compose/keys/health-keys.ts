import { Healthcheck } from "@berth/proto";
import { readDurationMs, readFlag, readInteger, readTexts } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { recordOrigins } from "./record-origins.js";
import type { ServiceDraft } from "./service-draft.js";

const RETRIES_RANGE = { min: 0, max: 1_000_000 };

/** Reads the health check of a service. */
export const HEALTH_KEYS: KeyTable<ServiceDraft> = {
  healthcheck: (cursor, draft) => {
    const check = Healthcheck.fromPartial({});
    applyKeys(cursor, HEALTHCHECK_KEYS, check);
    draft.container.healthcheck = check;
    recordOrigins(draft, "task.container.healthcheck", cursor);
  },
};

const HEALTHCHECK_KEYS: KeyTable<Healthcheck> = {
  test: rule(readTexts, (check, test) => {
    check.test = [...test];
  }),
  interval: rule(readDurationMs, (check, ms) => {
    check.intervalMs = ms;
  }),
  timeout: rule(readDurationMs, (check, ms) => {
    check.timeoutMs = ms;
  }),
  start_period: rule(readDurationMs, (check, ms) => {
    check.startPeriodMs = ms;
  }),
  start_interval: rule(readDurationMs, (check, ms) => {
    check.startIntervalMs = ms;
  }),
  retries: rule(
    (cursor) => readInteger(cursor, RETRIES_RANGE),
    (check, retries) => {
      check.retries = retries;
    },
  ),
  disable: rule(readFlag, (check, disabled) => {
    if (disabled) check.test = ["NONE"];
  }),
};
