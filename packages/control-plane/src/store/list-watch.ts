import { isBerthError } from "@berth/proto";
import { onAbort } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { readAll } from "./read.js";
import type { Entry, Span, Store, WatchEvent } from "./store.js";

/** etcd before 3.4.31 can lose watch events around a compaction (etcd#17529): nothing stays wrong for longer than this. */
const DEFAULT_RELIST_MS = 5 * 60_000;

/** Between attempts while the store does not answer; its calls have deadlines of their own. */
const RETRY_MS = 250;

export type ListWatchMessage =
  /** All there is: replace what is known. First, and again whenever events may have been missed. */
  | { readonly kind: "snapshot"; readonly entries: readonly Entry[]; readonly revision: bigint }
  /** What changed since the last message; now known up to `revision`. */
  | { readonly kind: "events"; readonly events: readonly WatchEvent[]; readonly revision: bigint }
  /** The store does not answer: what is known gets old. Said once; the next message is a snapshot. */
  | { readonly kind: "unreachable"; readonly cause: Error };

export interface ListWatchOptions {
  readonly store: Store;
  readonly span: Span;
  readonly clock: Clock;
  /** How often to list again though nothing seems wrong. */
  readonly relistMs?: number;
}

/**
 * Keeps a reader up to date with a span for as long as it likes: range reads are the truth, the watch is a doorbell.
 * Lists again after every broken watch, every compaction, and every few minutes. Ends when `signal` aborts.
 */
export async function* listAndWatch(
  options: ListWatchOptions,
  signal: AbortSignal,
): AsyncGenerator<ListWatchMessage> {
  const { store, span, clock } = options;
  let reachable = true;
  while (!signal.aborted) {
    try {
      const { entries, revision } = await readAll(store, span, signal);
      reachable = true;
      yield { kind: "snapshot", entries, revision };
      yield* watchForAWhile(options, revision, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!isBerthError(error)) throw error;
      if (reachable) yield { kind: "unreachable", cause: error };
      reachable = false;
    }
    if (!reachable) await sleep(clock, RETRY_MS, signal);
  }
}

/** Passes events on until the time comes to list again. @throws BerthError when the watch breaks */
async function* watchForAWhile(
  { store, span, clock, relistMs = DEFAULT_RELIST_MS }: ListWatchOptions,
  revision: bigint,
  signal: AbortSignal,
): AsyncGenerator<ListWatchMessage> {
  const until = new AbortController();
  const end = (): void => until.abort();
  const cancel = clock.after(relistMs, end);
  const forget = onAbort(signal, end);
  try {
    for await (const message of store.watch({ ...span, fromRevision: revision + 1n }, until.signal)) {
      if (message.kind === "compacted") return;
      if (message.kind === "disconnected") throw message.cause;
      yield { kind: "events", events: message.events, revision: message.nextRevision - 1n };
    }
  } finally {
    cancel();
    forget();
  }
}

/** One key is cheap to read again, and who waits for a leader must not miss that it went. */
const RELIST_MS = 5_000;

export interface WatchKeyOptions {
  readonly store: Store;
  readonly key: string;
  readonly clock: Clock;
}

/** Yields the key's entry now (undefined: absent) and whenever it changes, through outages of the store, until `signal` aborts. */
export async function* watchKey(
  { store, key, clock }: WatchKeyOptions,
  signal: AbortSignal,
): AsyncGenerator<Entry | undefined> {
  let known: Entry | undefined;
  let first = true;
  for await (const message of listAndWatch({ store, span: { key }, clock, relistMs: RELIST_MS }, signal)) {
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
  options: WatchKeyOptions & { createRevision: bigint },
  signal: AbortSignal,
): Promise<void> {
  for await (const entry of watchKey(options, signal)) {
    if (entry?.createRevision !== options.createRevision) return;
  }
}

function entryAfter(event: WatchEvent): Entry | undefined {
  return event.kind === "put" ? event.entry : undefined;
}
