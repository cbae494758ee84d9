import { isRemoved } from "../core/membership/server-records.js";
import { serverRemovedError } from "../identity/server-removed.js";
import type { Clock } from "../runtime/clock.js";
import { decodeEntry, recordKey } from "../state/change.js";
import { watchKey } from "../store/list-watch.js";
import { readOne } from "../store/read.js";
import type { Entry, Store } from "../store/store.js";

/**
 * Checks at the start that this server was not removed from the cluster.
 *
 * @throws BerthError BERTH_SERVER_REMOVED
 */
export async function requireNotRemoved(store: Store, serverId: string, signal: AbortSignal): Promise<void> {
  if (isRemovedIn(await readOne(store, recordKey("server", { serverId }), signal))) {
    throw serverRemovedError();
  }
}

export interface OwnRemovalOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** ID of this server. */
  readonly serverId: string;
}

/** Resolves to true when this server was removed from the cluster, and to false when the signal is aborted. */
export async function untilRemoved(
  { store, clock, serverId }: OwnRemovalOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const key = recordKey("server", { serverId });
  for await (const entry of watchKey({ store, clock, key }, signal)) {
    if (isRemovedIn(entry)) return true;
  }
  return false;
}

function isRemovedIn(entry: Entry | undefined): boolean {
  const decoded = entry && decodeEntry(entry);
  return decoded?.kind === "put" && decoded.put.kind === "put-server" && isRemoved(decoded.put.server);
}
