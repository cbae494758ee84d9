import { BerthError } from "@berth/proto";
import { SCHEMA_KEY } from "./keys.js";
import { readOne } from "./read.js";
import type { Store } from "./store.js";

/** Version of the layout of all keys. Incremented by each change that an older release could misread. */
const SCHEMA_VERSION = "1";

/**
 * Checks the layout version of the store when a server starts. Writes the version into an empty store.
 * @throws BerthError BERTH_UNSUPPORTED for another version, BERTH_ETCD_UNAVAILABLE
 */
export async function ensureSchema(store: Store, signal: AbortSignal): Promise<void> {
  const found = await readOne(store, SCHEMA_KEY, signal);
  if (found === undefined) {
    const outcome = await store.txn(
      {
        compare: [{ kind: "absent", key: SCHEMA_KEY }],
        ops: [{ kind: "put", key: SCHEMA_KEY, value: SCHEMA_VERSION }],
      },
      signal,
    );
    if (outcome.kind === "committed") return;
    if (outcome.kind === "unknown") throw outcome.cause;
    return ensureSchema(store, signal);
  }
  if (found.value === SCHEMA_VERSION) return;
  throw new BerthError({
    code: "BERTH_UNSUPPORTED",
    message: `the data in etcd has layout ${JSON.stringify(found.value)}, but this release of berth supports ${SCHEMA_VERSION}: use the release that wrote it`,
  });
}
