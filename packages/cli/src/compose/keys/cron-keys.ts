import { CronSpec, CronSpec_Concurrency } from "@berth/proto";
import { type Cursor, keyPlace, readChoice, readDurationMs, readInteger, readText } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

const RUN_COUNT = { min: 0, max: 1_000 };
const CONCURRENCIES = {
  allow: CronSpec_Concurrency.ALLOW,
  forbid: CronSpec_Concurrency.FORBID,
  replace: CronSpec_Concurrency.REPLACE,
};

/** Reads `cron: "0 3 * * *"`, or a mapping with `schedule` and other settings. */
export function readCron(cursor: Cursor, draft: ServiceDraft): void {
  draft.origins.set("cron", cursor);
  const cron = CronSpec.fromPartial({});
  if (cursor.node.kind === "scalar") {
    cron.schedule = readText(cursor) ?? "";
  } else {
    applyKeys(cursor, CRON_KEYS, cron);
  }
  if (cursor.diagnostics.hasErrorUnder(cursor.path)) return;
  if (cron.schedule === "") {
    cursor.diagnostics.error(
      keyPlace(cursor),
      'schedule must be set; use a form such as "0 3 * * *" or "@hourly"',
    );
  } else {
    draft.spec.cron = cron;
  }
}

const CRON_KEYS: KeyTable<CronSpec> = {
  schedule: rule(readText, (cron, schedule) => {
    cron.schedule = schedule;
  }),
  time_zone: rule(readText, (cron, timeZone) => {
    cron.timeZone = timeZone;
  }),
  concurrency: rule(
    (cursor) => readChoice(cursor, CONCURRENCIES),
    (cron, concurrency) => {
      cron.concurrency = concurrency;
    },
  ),
  history: rule(
    (cursor) => readInteger(cursor, RUN_COUNT),
    (cron, history) => {
      cron.history = history;
    },
  ),
  starting_deadline: rule(readDurationMs, (cron, ms) => {
    cron.startingDeadlineMs = ms;
  }),
};
