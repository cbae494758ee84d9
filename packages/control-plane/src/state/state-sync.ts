import type { Logger } from "pino";
import type { Writer } from "../reconciler/writer.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { ROOT } from "../store/keys.js";
import { type ListWatchMessage, listAndWatch } from "../store/list-watch.js";
import type { Entry, Store, WatchEvent } from "../store/store.js";
import { deletionUnder } from "./change.js";
import type { ClusterState, Committed } from "./cluster-state.js";
import { decodeEntry } from "./codec.js";

/** A record that could not be read. It is left alone in the store and does not exist for the cluster. */
export interface UnreadableRecord {
  readonly key: string;
  readonly reason: string;
}

/**
 * Taken over without a pause: some twenty milliseconds of work, so that a lease can be kept while all is read. Nobody is
 * served before the end of it, and what a thousand agents want meanwhile only delays that.
 */
const SLICE_ENTRIES = 4_000;

export interface Snapshot {
  readonly entries: readonly Entry[];
  readonly revision: bigint;
}

/**
 * Takes over everything there was at `revision`, keeping what was committed later. Returns what could not be read.
 * `pause` lets other work go on in between; a state that is in use already gets the news slice by slice.
 */
export async function applySnapshot(
  state: ClusterState,
  snapshot: Snapshot,
  pause: () => Promise<void>,
): Promise<readonly UnreadableRecord[]> {
  state.apply(missingFrom(snapshot, state));
  const unreadable: UnreadableRecord[] = [];
  for (let start = 0; start < snapshot.entries.length; start += SLICE_ENTRIES) {
    const read = readNews(state, snapshot.entries.slice(start, start + SLICE_ENTRIES));
    state.apply(read.news);
    for (const each of read.unreadable) unreadable.push(each);
    await pause();
  }
  state.revisions.settled(snapshot.revision);
  return unreadable;
}

/** Deletions of what is known and was not there any more. */
function missingFrom(snapshot: Snapshot, state: ClusterState): readonly Committed[] {
  const present = new Set<string>();
  for (const { key } of snapshot.entries) present.add(key);
  const gone: Committed[] = [];
  for (const key of state.revisions.keysUpTo(snapshot.revision)) {
    const change = present.has(key) ? undefined : deletionUnder(key);
    if (change !== undefined) gone.push({ change, revision: snapshot.revision });
  }
  return gone;
}

/** Takes over events that came after the last snapshot; those of changes that are known already cost nothing. */
export function applyEvents(
  state: ClusterState,
  message: { readonly events: readonly WatchEvent[]; readonly revision: bigint },
): readonly UnreadableRecord[] {
  const unreadable: UnreadableRecord[] = [];
  const committed: Committed[] = [];
  for (const event of message.events) {
    if (!state.revisions.isNewer(event.key, event.modRevision)) continue;
    if (event.kind === "put") {
      const read = readNews(state, [event.entry]);
      committed.push(...read.news);
      unreadable.push(...read.unreadable);
    } else {
      const change = deletionUnder(event.key);
      if (change !== undefined) committed.push({ change, revision: event.modRevision });
    }
  }
  state.apply(committed);
  state.revisions.settled(message.revision);
  return unreadable;
}

/** Takes over single keys as they were read at `revision`: an entry, or nothing where the key is absent. */
export function applyEntries(
  state: ClusterState,
  read: ReadonlyMap<string, Entry | undefined>,
  revision: bigint,
): readonly UnreadableRecord[] {
  const committed: Committed[] = [];
  const entries: Entry[] = [];
  for (const [key, entry] of read) {
    const change = entry === undefined ? deletionUnder(key) : undefined;
    if (entry !== undefined) entries.push(entry);
    else if (change !== undefined) committed.push({ change, revision });
  }
  const { news, unreadable } = readNews(state, entries);
  state.apply([...committed, ...news]);
  return unreadable;
}

function readNews(
  state: ClusterState,
  entries: readonly Entry[],
): { readonly news: readonly Committed[]; readonly unreadable: readonly UnreadableRecord[] } {
  const news: Committed[] = [];
  const unreadable: UnreadableRecord[] = [];
  for (const entry of entries) {
    if (!state.revisions.isNewer(entry.key, entry.modRevision)) continue;
    const decoded = decodeEntry(entry);
    if (decoded.kind === "put") news.push({ change: decoded.put, revision: entry.modRevision });
    if (decoded.kind !== "unreadable") continue;
    // Its revision is remembered, so that it is reported once and can be overwritten.
    state.revisions.written(entry.key, entry.modRevision);
    unreadable.push({ key: entry.key, reason: decoded.reason });
  }
  return { news, unreadable };
}

export interface StateSyncOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly state: ClusterState;
  readonly logger: Logger;
}

/**
 * Fills the state with all there is and keeps it right when somebody else edits the store: by hand, or a restore.
 * Our own writes are known before their events come and cost a look-up each.
 */
export class StateSync {
  readonly #options: StateSyncOptions;
  readonly #messages: AsyncGenerator<ListWatchMessage>;
  readonly #signal: AbortSignal;

  constructor(options: StateSyncOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#messages = listAndWatch(
      { store: options.store, clock: options.clock, span: { prefix: ROOT } },
      signal,
    );
  }

  /** True when everything has been read at one revision, however long that takes; false when the signal aborts before. */
  async load(): Promise<boolean> {
    for (;;) {
      const next = await this.#messages.next();
      if (next.done || this.#signal.aborted) return false;
      await this.#take(next.value);
      if (next.value.kind === "snapshot") return !this.#signal.aborted;
    }
  }

  /** Goes on from `load` until the signal aborts. */
  async run(writer: Pick<Writer, "untilIdle">): Promise<void> {
    for await (const message of this.#messages) {
      await writer.untilIdle();
      if (this.#signal.aborted) return;
      await this.#take(message);
    }
  }

  async #take(message: ListWatchMessage): Promise<void> {
    const { state, logger, clock } = this.#options;
    switch (message.kind) {
      case "snapshot":
        this.#report(await applySnapshot(state, message, () => sleep(clock, 0, this.#signal)));
        return;
      case "events":
        this.#report(applyEvents(state, message));
        return;
      case "unreachable":
        logger.warn({ err: message.cause }, "etcd does not answer; going on with what is known");
        return;
    }
  }

  #report(unreadable: readonly UnreadableRecord[]): void {
    for (const { key, reason } of unreadable) {
      this.#options.logger.error({ key, reason }, "a record cannot be read and is ignored");
    }
  }
}
