import { assertNever, isBerthError } from "@berth/proto";
import { linkSignals } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { readAll } from "./read.js";
import type { Entry, Span, Store, WatchEvent } from "./store.js";

/** Interval of full listings, since etcd before 3.4.31 can lose watch events around a compaction (etcd#17529). */
const DEFAULT_RELIST_MS = 5 * 60_000;

/**
 * Interval of readings of a single key: it is cheap to read, and a candidate must not miss the end of the leader's key.
 */
const RELIST_KEY_MS = 5_000;

/** Pause between attempts while the store does not answer. */
const RETRY_MS = 250;

export type ListWatchMessage =
  /** All entries of the span. Sent first, and again whenever events may have been missed. */
  | { readonly kind: "snapshot"; readonly entries: readonly Entry[]; readonly revision: bigint }
  /** All events up to `revision` since the last message. */
  | { readonly kind: "events"; readonly events: readonly WatchEvent[]; readonly revision: bigint }
  /** The store does not answer. Sent once; the next message is a snapshot. */
  | { readonly kind: "unreachable"; readonly cause: Error };

export interface ListWatchOptions {
  readonly store: Store;
  readonly span: Span;
  readonly clock: Clock;
  /** Interval of full listings. Default: 5 min. */
  readonly relistMs?: number;
}

/**
 * Lists a span and then watches it, through outages of the store, until `signal` is aborted. Lists again after a broken
 * watch, after a compaction, and every few minutes.
 */
export async function* listAndWatch(
  options: ListWatchOptions,
  signal: AbortSignal,
): AsyncGenerator<ListWatchMessage> {
  const { store, span, clock } = options;
  let isReachable = true;
  while (!signal.aborted) {
    try {
      const { entries, revision } = await readAll(store, span, signal);
      isReachable = true;
      yield { kind: "snapshot", entries, revision };
      yield* watchUntilRelist(options, revision, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!isBerthError(error)) throw error;
      if (isReachable) yield { kind: "unreachable", cause: error };
      isReachable = false;
    }
    if (!isReachable) await sleep(clock, RETRY_MS, signal);
  }
}

/**
 * Yields events until it is time for a new listing.
 *
 * @throws BerthError if the watch breaks
 */
async function* watchUntilRelist(
  { store, span, clock, relistMs = DEFAULT_RELIST_MS }: ListWatchOptions,
  revision: bigint,
  signal: AbortSignal,
): AsyncGenerator<ListWatchMessage> {
  const link = linkSignals(signal);
  const cancel = clock.after(relistMs, () => link.abort());
  try {
    for await (const message of store.watch({ ...span, fromRevision: revision + 1n }, link.signal)) {
      switch (message.kind) {
        case "events":
          yield { kind: "events", events: message.events, revision: message.nextRevision - 1n };
          break;
        case "compacted":
          return;
        case "disconnected":
          throw message.cause;
        default:
          assertNever(message);
      }
    }
  } finally {
    cancel();
    link.unlink();
  }
}

export interface WatchKeyOptions {
  readonly store: Store;
  readonly key: string;
  readonly clock: Clock;
}

/** Yields the entry of a key and each change until `signal` is aborted. Yields undefined while the key is absent. */
export async function* watchKey(
  { store, key, clock }: WatchKeyOptions,
  signal: AbortSignal,
): AsyncGenerator<Entry | undefined> {
  let known: Entry | undefined;
  let isFirst = true;
  const options = { store, span: { key }, clock, relistMs: RELIST_KEY_MS };
  for await (const message of listAndWatch(options, signal)) {
    if (message.kind === "unreachable") continue;
    const entries = message.kind === "snapshot" ? [message.entries[0]] : message.events.map(entryAfter);
    for (const entry of entries) {
      if (!isFirst && entry?.modRevision === known?.modRevision) continue;
      isFirst = false;
      known = entry;
      yield entry;
    }
  }
}

/** Resolves when the key no longer has this create revision, or when `signal` is aborted. */
export async function untilGone(
  options: WatchKeyOptions & { readonly createRevision: bigint },
  signal: AbortSignal,
): Promise<void> {
  for await (const entry of watchKey(options, signal)) {
    if (entry?.createRevision !== options.createRevision) return;
  }
}

/** Returns the entry that an event leaves; undefined after a deletion. */
function entryAfter(event: WatchEvent): Entry | undefined {
  return event.kind === "put" ? event.entry : undefined;
}
