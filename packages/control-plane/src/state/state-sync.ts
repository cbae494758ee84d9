import { assertNever } from "@berth/proto";
import type { Logger } from "pino";
import { abortable } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { Notifier } from "../runtime/notifier.js";
import { ROOT } from "../store/keys.js";
import { type ListWatchMessage, listAndWatch } from "../store/list-watch.js";
import type { Entry, Store, WatchEvent } from "../store/store.js";
import { decodeEntry, deletionOfKey } from "./change.js";
import { ClusterState, type Committed } from "./cluster-state.js";

/**
 * Number of entries that are decoded without a pause. A batch takes about 20 ms, so leases are renewed during a long
 * load. Smaller batches would delay the end of the load.
 */
const BATCH_ENTRIES = 4_000;

export interface StateSyncOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps a copy of all records up to date. A follower has one too, so that it need not load the records when it is
 * elected. During a term, the copy also receives changes by other writers, such as `etcdctl` or a restored backup, and
 * skips the events of the leader's own writes, which it recognizes by their revision.
 */
export class StateSync {
  readonly state: ClusterState;
  readonly #options: StateSyncOptions;
  readonly #applied = new Notifier();
  readonly #ended: Promise<void>;
  /** All changes up to this revision are in the copy. Undefined until all records are loaded. */
  #revision: bigint | undefined;
  #writer: PendingWrites | undefined;

  private constructor(options: StateSyncOptions, signal: AbortSignal) {
    const { logger } = options;
    this.#options = options;
    this.state = new ClusterState((error) => logger.error({ err: error }, "state listener failed"));
    this.#ended = this.#run(signal);
    // `untilApplied` and `untilEnded` report the failure.
    this.#ended.catch(() => {});
  }

  /** Loads all records and then applies each change until the signal is aborted, through outages of the store. */
  static start(options: StateSyncOptions, signal: AbortSignal): StateSync {
    return new StateSync(options, signal);
  }

  /**
   * Waits until the copy has all changes up to the revision, which must be that of a change below `ROOT`. Returns false
   * if the signal is aborted first.
   *
   * @throws the error that has ended the synchronization
   */
  async untilApplied(revision: bigint, signal: AbortSignal): Promise<boolean> {
    const stopped = this.#ended.then(() => {
      throw new Error("the synchronization of the records has stopped");
    });
    stopped.catch(() => {});
    while (!signal.aborted && (this.#revision === undefined || this.#revision < revision)) {
      await Promise.race([this.#applied.wait(signal), stopped]);
    }
    return !signal.aborted;
  }

  /** Makes the synchronization wait for the leader's writes, whose results may arrive after their events. */
  setWriter(writer: PendingWrites): void {
    this.#writer = writer;
  }

  /**
   * Settles when the synchronization ends.
   *
   * @throws the error that has ended it, or the signal's reason when it is aborted first
   */
  untilEnded(signal: AbortSignal): Promise<void> {
    return abortable(this.#ended, signal);
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#options;
    for await (const message of listAndWatch({ store, clock, span: { prefix: ROOT } }, signal)) {
      await this.#writer?.untilIdle();
      if (signal.aborted) return;
      await this.#apply(message, signal);
    }
  }

  async #apply(message: ListWatchMessage, signal: AbortSignal): Promise<void> {
    const { logger, clock } = this.#options;
    switch (message.kind) {
      case "snapshot":
        logUnreadable(await applySnapshot(this.state, message, () => sleep(clock, 0, signal)), logger);
        break;
      case "events":
        logUnreadable(applyEvents(this.state, message), logger);
        break;
      case "unreachable":
        logger.warn({ err: message.cause }, "lost connection to etcd; retrying");
        return;
      default:
        assertNever(message);
    }
    if (signal.aborted) return;
    this.#revision = message.revision;
    this.#applied.notifyAll();
  }
}

/** Writes that the leader has begun. */
export interface PendingWrites {
  /** Resolves when the results of all writes have arrived. */
  untilIdle(): Promise<void>;
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
