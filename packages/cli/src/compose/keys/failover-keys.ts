import { FailoverSpec } from "@berth/proto";
import { type Cursor, keyPlace, readDurationMs, readFlag, readText } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

const NEVER = "never";

/** Reads `failover: 10s`, `failover: never` or `failover: { after: 10s }`. */
export function readFailover(cursor: Cursor, draft: ServiceDraft): void {
  draft.origins.set("failover", cursor);
  const failover = FailoverSpec.fromPartial({});
  if (cursor.node.kind === "scalar") {
    readAfter(cursor, failover);
  } else {
    applyKeys(cursor, FAILOVER_KEYS, failover);
  }
  if (failover.never && failover.afterMs > 0) {
    cursor.diagnostics.error(keyPlace(cursor), "after and never are mutually exclusive");
  }
  draft.spec.failover = failover;
}

const FAILOVER_KEYS: KeyTable<FailoverSpec> = {
  after: readAfter,
  never: rule(readFlag, (failover, never) => {
    failover.never = never;
  }),
};

function readAfter(cursor: Cursor, failover: FailoverSpec): void {
  const isNever = cursor.node.kind === "scalar" && cursor.node.value === NEVER;
  if (isNever) {
    failover.never = readText(cursor) === NEVER;
  } else {
    failover.afterMs = readDurationMs(cursor) ?? 0;
  }
}
