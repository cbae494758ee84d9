import { BerthError } from "@berth/proto";
import { SCHEMA_KEY } from "./keys.js";
import { readOne } from "./read.js";
import type { Store } from "./store.js";

/** Layout of the records under the root. Raised when an older berth could misread them. */
const SCHEMA = "1";

/** Marks the records as ours, or refuses those of another layout. @throws BerthError BERTH_UNSUPPORTED, BERTH_ETCD_UNAVAILABLE */
export async function ensureSchema(store: Store, signal: AbortSignal): Promise<void> {
  const found = await readOne(store, SCHEMA_KEY, signal);
  if (found === undefined) {
    const outcome = await store.txn(
      {
        compare: [{ kind: "absent", key: SCHEMA_KEY }],
        ops: [{ kind: "put", key: SCHEMA_KEY, value: SCHEMA }],
      },
      signal,
    );
    if (outcome.kind === "committed") return;
    if (outcome.kind === "unknown") throw outcome.cause;
    return ensureSchema(store, signal);
  }
  if (found.value === SCHEMA) return;
  throw new BerthError({
    code: "BERTH_UNSUPPORTED",
    message: `The records in etcd have layout ${JSON.stringify(found.value)}; this berth knows ${SCHEMA}. Use the berth that wrote them.`,
  });
}
