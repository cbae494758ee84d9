/**
 * The revision at which each key was last seen written: what a transaction compares, and how events that come late are
 * told from news.
 */
export class KeyRevisions {
  readonly #written = new Map<string, bigint>();
  /** Deleted keys, until every event from before the deletion has passed. */
  readonly #deleted = new Map<string, bigint>();

  /** Revision of the last write of a key that exists; undefined for a key that does not. */
  get(key: string): bigint | undefined {
    return this.#written.get(key);
  }

  /** True when a write or deletion at `revision` is newer than what is known of the key. */
  isNewer(key: string, revision: bigint): boolean {
    return revision > (this.#written.get(key) ?? this.#deleted.get(key) ?? 0n);
  }

  written(key: string, revision: bigint): void {
    this.#written.set(key, revision);
    this.#deleted.delete(key);
  }

  deleted(key: string, revision: bigint): void {
    this.#written.delete(key);
    this.#deleted.delete(key);
    this.#deleted.set(key, revision);
  }

  /** Forgets deletions up to `revision`: no older event can come any more. */
  settled(revision: bigint): void {
    // Deletions are in order of their revisions, so this stops at the first that is still needed.
    for (const [key, deletedAt] of this.#deleted) {
      if (deletedAt > revision) return;
      this.#deleted.delete(key);
    }
  }

  /** Keys that exist and were last written at or before `revision`. */
  *keysUpTo(revision: bigint): IterableIterator<string> {
    for (const [key, writtenAt] of this.#written) if (writtenAt <= revision) yield key;
  }
}
