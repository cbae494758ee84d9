import { readText, readTextMap } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

interface LoggingDraft {
  name: string;
  options: { [key: string]: string };
}

const LOGGING_FIELDS: KeyTable<LoggingDraft> = {
  driver: rule(readText, (logging, driver) => {
    logging.name = driver;
  }),
  options: rule(readTextMap, (logging, options) => {
    logging.options = options;
  }),
};

/** Reads `logging: { driver, options }`, the log driver of a service's containers. */
export const LOGGING_KEYS: KeyTable<ServiceDraft> = {
  logging: (cursor, draft) => {
    const logging: LoggingDraft = { name: "", options: {} };
    applyKeys(cursor, LOGGING_FIELDS, logging);
    draft.container.logDriver = logging;
    draft.origins.set("task.container.log_driver", cursor);
  },
};
