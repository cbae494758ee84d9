import { LogDriver } from "@berth/proto";
import { type Edit, edit, inContainer } from "../edit.js";
import { fullKeyValue, nonEmptyText } from "../flag-values.js";

/** Where the output of a container goes. */
export const LOGGING_EDITS = {
  "log-driver": edit(
    nonEmptyText,
    inContainer((_, name) => ({ logDriver: { name, options: {} } })),
  ),
  "log-opt": edit(
    fullKeyValue,
    inContainer(({ logDriver = LogDriver.fromPartial({}) }, { key, value }) => ({
      logDriver: { ...logDriver, options: { ...logDriver.options, [key]: value } },
    })),
  ),
} satisfies Readonly<Record<string, Edit>>;
