/** Tracks the last known revision of each key. Transactions compare it, and it identifies late watch events. */
export class KeyRevisions {
  readonly #written = new Map<string, bigint>();
  /** The revision of each deletion, kept until all events from before it have arrived. */
  readonly #deleted = new Map<string, bigint>();
  #latest = 0n;

  /** The highest revision of all known writes and deletions. */
  get latest(): bigint {
    return this.#latest;
  }

  /** Whether no key exists. */
  get isEmpty(): boolean {
    return this.#written.size === 0;
  }

  /** Returns the revision of a key's last write, or undefined if the key does not exist. */
  get(key: string): bigint | undefined {
    return this.#written.get(key);
  }

  /** Returns whether a write or deletion at `revision` is newer than the last known one. */
  isNewer(key: string, revision: bigint): boolean {
    return revision > (this.#written.get(key) ?? this.#deleted.get(key) ?? 0n);
  }

  recordWrite(key: string, revision: bigint): void {
    this.#raiseLatest(revision);
    this.#written.set(key, revision);
    this.#deleted.delete(key);
  }

  recordDeletion(key: string, revision: bigint): void {
    this.#raiseLatest(revision);
    this.#written.delete(key);
    this.#deleted.delete(key);
    this.#deleted.set(key, revision);
  }

  /** Forgets the deletions up to `revision`. Called when all events up to it have arrived. */
  forgetDeletions(revision: bigint): void {
    // The map is in the order of the deletions, so the first newer one ends the loop.
    for (const [key, deletionRevision] of this.#deleted) {
      if (deletionRevision > revision) return;
      this.#deleted.delete(key);
    }
  }

  #raiseLatest(revision: bigint): void {
    if (revision > this.#latest) this.#latest = revision;
  }

  /** Yields the existing keys whose last write is not newer than `revision`. */
  *keysUpTo(revision: bigint): IterableIterator<string> {
    for (const [key, writeRevision] of this.#written) {
      if (writeRevision <= revision) yield key;
    }
  }
}
