import type { Entry, Span, WatchEvent } from "../../store/store.js";

/** A key at one revision. Without an entry the key was deleted in this revision. */
interface Version {
  readonly revision: bigint;
  readonly entry?: Entry;
}

interface Commit {
  readonly revision: bigint;
  readonly events: readonly WatchEvent[];
}

/**
 * All revisions of all keys since the last compaction, with their events. Each transaction that writes something is one
 * revision. An empty store has revision 1, as in etcd.
 */
export class History {
  readonly #versions = new Map<string, Version[]>();
  readonly #index = new KeyIndex();
  #commits: Commit[] = [];
  #revision = 1n;
  #compactedAt = 0n;

  get revision(): bigint {
    return this.#revision;
  }

  /** The oldest readable revision; 0 before the first compaction. */
  get compactedAt(): bigint {
    return this.#compactedAt;
  }

  /** Number of commits since the last compaction. */
  get length(): number {
    return this.#commits.length;
  }

  entry(key: string, revision = this.#revision): Entry | undefined {
    return this.#versions.get(key)?.findLast((version) => version.revision <= revision)?.entry;
  }

  /** Returns up to `limit` entries of the span after the key `after`, in key order. */
  entries(span: Span, options: { revision: bigint; limit: number; after: string }): readonly Entry[] {
    const keys = "key" in span ? [span.key] : this.#index.startingWith(span.prefix, options.after);
    const found: Entry[] = [];
    for (const key of keys) {
      const entry = this.entry(key, options.revision);
      if (entry !== undefined && key > options.after) found.push(entry);
      if (found.length === options.limit) break;
    }
    return found;
  }

  /** Adds the events of one transaction as the next revision. They have that revision already and contain each key once. */
  commit(events: readonly WatchEvent[]): void {
    this.#revision += 1n;
    this.#commits.push({ revision: this.#revision, events });
    for (const event of events) {
      const version: Version =
        event.kind === "put"
          ? { revision: event.modRevision, entry: event.entry }
          : { revision: event.modRevision };
      const versions = this.#versions.get(event.key);
      if (versions !== undefined) {
        versions.push(version);
      } else {
        this.#versions.set(event.key, [version]);
        this.#index.add(event.key);
      }
    }
  }

  /** Returns the events of the span since `fromRevision`, which must not be compacted. */
  eventsSince(span: Span, fromRevision: bigint): readonly WatchEvent[] {
    const oldest = this.#commits[0]?.revision ?? 0n;
    const start = fromRevision > oldest ? Number(fromRevision - oldest) : 0;
    const events: WatchEvent[] = [];
    for (let i = start; i < this.#commits.length; i++) {
      for (const event of this.#commits[i]?.events ?? []) {
        if (covers(span, event.key)) events.push(event);
      }
    }
    return events;
  }

  /** Removes everything before `revision`. The state at `revision` and its events remain. */
  compact(revision: bigint): void {
    const upTo = revision < this.#revision ? revision : this.#revision;
    if (upTo <= this.#compactedAt) return;
    this.#compactedAt = upTo;
    const touched = new Set<string>();
    for (const commit of this.#commits) for (const event of commit.events) touched.add(event.key);
    for (const key of touched) this.#forget(key, upTo);
    this.#commits = this.#commits.filter((commit) => commit.revision >= upTo);
  }

  #forget(key: string, upTo: bigint): void {
    const versions = this.#versions.get(key) ?? [];
    const current = versions.findLastIndex((version) => version.revision <= upTo);
    const kept = versions.slice(Math.max(current, 0));
    if (kept.length > 1 || kept[0]?.entry !== undefined) {
      this.#versions.set(key, kept);
    } else if (this.#versions.delete(key)) {
      this.#index.remove(key);
    }
  }
}

function covers(span: Span, key: string): boolean {
  return "key" in span ? span.key === key : key.startsWith(span.prefix);
}

/**
 * Keys in byte order. Added keys are merged on the next read, so that a series of writes costs one merge.
 */
export class KeyIndex {
  #sorted: string[] = [];
  #added = new Set<string>();
  #removed = new Set<string>();

  add(key: string): void {
    if (!this.#removed.delete(key)) this.#added.add(key);
  }

  /** The key must have been added. */
  remove(key: string): void {
    if (!this.#added.delete(key)) this.#removed.add(key);
  }

  /** Yields the keys that start with `prefix` and sort after `after`, in order. Do not write during the iteration. */
  *startingWith(prefix: string, after = ""): Generator<string> {
    this.#settle();
    for (let i = this.#firstAtLeast(after < prefix ? prefix : `${after}\0`); i < this.#sorted.length; i++) {
      const key = this.#sorted[i];
      if (key === undefined || !key.startsWith(prefix)) return;
      yield key;
    }
  }

  #settle(): void {
    if (this.#removed.size > 0) this.#sorted = this.#sorted.filter((key) => !this.#removed.has(key));
    if (this.#added.size > 0) this.#sorted = merge(this.#sorted, [...this.#added].sort());
    this.#removed.clear();
    this.#added.clear();
  }

  #firstAtLeast(bound: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const key = this.#sorted[middle];
      if (key !== undefined && key < bound) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}

function merge(left: readonly string[], right: readonly string[]): string[] {
  const merged: string[] = [];
  let i = 0;
  for (const key of right) {
    for (let next = left[i]; next !== undefined && next < key; next = left[++i]) merged.push(next);
    merged.push(key);
  }
  for (; i < left.length; i++) merged.push(left[i] ?? "");
  return merged;
}
