import { assertNever } from "@berth/proto";
import type { Logger } from "pino";
import { type Clock, sleep } from "../runtime/clock.js";
import { ROOT } from "../store/keys.js";
import { type ListWatchMessage, listAndWatch } from "../store/list-watch.js";
import type { Entry, Store, WatchEvent } from "../store/store.js";
import { decodeEntry, deletionOfKey } from "./change.js";
import type { ClusterState, Committed } from "./cluster-state.js";

/**
 * Number of entries that are decoded without a pause. A batch takes about 20 ms, so leases are renewed during a long
 * load. Smaller batches would delay the end of the load, before which the leader serves no calls.
 */
const BATCH_ENTRIES = 4_000;

export interface StateSyncOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly state: ClusterState;
  readonly logger: Logger;
}

/**
 * Loads all records into the state when a term starts, and then watches the store for changes by other writers, such as
 * `etcdctl` or a restored backup. Skips the events of this leader's own writes, which it recognizes by their revision.
 */
export class StateSync {
  readonly #options: StateSyncOptions;
  readonly #messages: AsyncGenerator<ListWatchMessage>;
  readonly #signal: AbortSignal;

  constructor(options: StateSyncOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    const { store, clock } = options;
    this.#messages = listAndWatch({ store, clock, span: { prefix: ROOT } }, signal);
  }

  /**
   * Loads all records at one revision and retries until etcd responds. Returns false if the signal is aborted first.
   */
  async load(): Promise<boolean> {
    for (;;) {
      const next = await this.#messages.next();
      if (next.done || this.#signal.aborted) return false;
      await this.#apply(next.value);
      if (next.value.kind === "snapshot") return !this.#signal.aborted;
    }
  }

  /** Applies further changes until the signal is aborted. Call `load` first. */
  async run(writer: { untilIdle(): Promise<void> }): Promise<void> {
    for await (const message of this.#messages) {
      // The events may belong to a write of this leader whose result has not arrived yet.
      await writer.untilIdle();
      if (this.#signal.aborted) return;
      await this.#apply(message);
    }
  }

  async #apply(message: ListWatchMessage): Promise<void> {
    const { state, logger, clock } = this.#options;
    switch (message.kind) {
      case "snapshot":
        logUnreadable(await applySnapshot(state, message, () => sleep(clock, 0, this.#signal)), logger);
        return;
      case "events":
        logUnreadable(applyEvents(state, message), logger);
        return;
      case "unreachable":
        logger.warn({ err: message.cause }, "lost connection to etcd; retrying");
        return;
      default:
        assertNever(message);
    }
  }
}

/** A record that could not be decoded. It stays in the store and is ignored. */
export interface UnreadableRecord {
  readonly key: string;
  readonly reason: string;
}

/** Logs the records that this release cannot read. */
export function logUnreadable(records: readonly UnreadableRecord[], logger: Logger): void {
  for (const { key, reason } of records) logger.error({ key, reason }, "ignoring an unreadable record");
}

/** All entries of the store at one revision. */
export interface Snapshot {
  readonly entries: readonly Entry[];
  readonly revision: bigint;
}

/**
 * Replaces the state with the entries of a snapshot, but keeps changes that were committed after it.
 *
 * `pause` lets other work run between batches. Listeners of the state are called after each batch.
 */
export async function applySnapshot(
  state: ClusterState,
  snapshot: Snapshot,
  pause: () => Promise<void>,
): Promise<readonly UnreadableRecord[]> {
  state.apply(findDeletions(snapshot, state));
  const unreadable: UnreadableRecord[] = [];
  for (let start = 0; start < snapshot.entries.length; start += BATCH_ENTRIES) {
    const decoded = decodeNewer(state, snapshot.entries.slice(start, start + BATCH_ENTRIES));
    state.apply(decoded.committed);
    for (const record of decoded.unreadable) unreadable.push(record);
    await pause();
  }
  state.revisions.forgetDeletions(snapshot.revision);
  return unreadable;
}

/** Returns deletions for the known records that are missing from the snapshot. */
function findDeletions(snapshot: Snapshot, state: ClusterState): readonly Committed[] {
  if (state.revisions.isEmpty) return [];
  const present = new Set<string>();
  for (const { key } of snapshot.entries) present.add(key);
  const deletions: Committed[] = [];
  for (const key of state.revisions.keysUpTo(snapshot.revision)) {
    const change = present.has(key) ? undefined : deletionOfKey(key);
    if (change !== undefined) deletions.push({ change, key, revision: snapshot.revision });
  }
  return deletions;
}

/** Applies watch events. Skips changes that the state already contains. */
export function applyEvents(
  state: ClusterState,
  message: { readonly events: readonly WatchEvent[]; readonly revision: bigint },
): readonly UnreadableRecord[] {
  const unreadable: UnreadableRecord[] = [];
  const committed: Committed[] = [];
  for (const event of message.events) {
    if (!state.revisions.isNewer(event.key, event.modRevision)) continue;
    if (event.kind === "put") {
      const decoded = decodeNewer(state, [event.entry]);
      committed.push(...decoded.committed);
      unreadable.push(...decoded.unreadable);
    } else {
      const change = deletionOfKey(event.key);
      if (change !== undefined) committed.push({ change, key: event.key, revision: event.modRevision });
    }
  }
  state.apply(committed);
  state.revisions.forgetDeletions(message.revision);
  return unreadable;
}

/** Applies keys that were read at `revision`. The entry is undefined if the key does not exist. */
export function applyEntries(
  state: ClusterState,
  read: ReadonlyMap<string, Entry | undefined>,
  revision: bigint,
): readonly UnreadableRecord[] {
  const deleted: Committed[] = [];
  const entries: Entry[] = [];
  for (const [key, entry] of read) {
    const change = entry === undefined ? deletionOfKey(key) : undefined;
    if (entry !== undefined) {
      entries.push(entry);
    } else if (change !== undefined) {
      deleted.push({ change, key, revision });
    }
  }
  const { committed, unreadable } = decodeNewer(state, entries);
  state.apply([...deleted, ...committed]);
  return unreadable;
}

/** Decodes the entries that are newer than the state. */
function decodeNewer(
  state: ClusterState,
  entries: readonly Entry[],
): { readonly committed: readonly Committed[]; readonly unreadable: readonly UnreadableRecord[] } {
  const committed: Committed[] = [];
  const unreadable: UnreadableRecord[] = [];
  for (const entry of entries) {
    const { key, modRevision } = entry;
    if (!state.revisions.isNewer(key, modRevision)) continue;
    const decoded = decodeEntry(entry);
    switch (decoded.kind) {
      case "put":
        committed.push({ change: decoded.put, key, revision: modRevision });
        break;
      case "unreadable":
        // With its revision known, the record is logged once and can be overwritten.
        state.revisions.recordWrite(key, modRevision);
        unreadable.push({ key, reason: decoded.reason });
        break;
      case "other":
        break;
      default:
        assertNever(decoded);
    }
  }
  return { committed, unreadable };
}
