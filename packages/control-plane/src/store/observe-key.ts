import type { Clock } from "../runtime/clock.js";
import { follow } from "./follow.js";
import type { Entry, Store, WatchEvent } from "./store.js";

/** One key is cheap to read again, and who waits for a leader must not miss that it went. */
const RELIST_MS = 5_000;

export interface ObserveKeyOptions {
  readonly store: Store;
  readonly key: string;
  readonly clock: Clock;
}

/** Yields the key's entry now (undefined: absent) and whenever it changes, through outages of the store, until `signal` aborts. */
export async function* observeKey(
  { store, key, clock }: ObserveKeyOptions,
  signal: AbortSignal,
): AsyncGenerator<Entry | undefined> {
  let known: Entry | undefined;
  let first = true;
  for await (const message of follow({ store, span: { key }, clock, relistMs: RELIST_MS }, signal)) {
    if (message.kind === "unreachable") continue;
    const states = message.kind === "snapshot" ? [message.entries[0]] : message.events.map(entryAfter);
    for (const entry of states) {
      if (!first && entry?.modRevision === known?.modRevision) continue;
      first = false;
      known = entry;
      yield entry;
    }
  }
}

/** Resolves when the key is gone, or is a later one of the same name; also when `signal` aborts. */
export async function untilGone(
  options: ObserveKeyOptions & { createRevision: bigint },
  signal: AbortSignal,
): Promise<void> {
  for await (const entry of observeKey(options, signal)) {
    if (entry?.createRevision !== options.createRevision) return;
  }
}

function entryAfter(event: WatchEvent): Entry | undefined {
  return event.kind === "put" ? event.entry : undefined;
}
