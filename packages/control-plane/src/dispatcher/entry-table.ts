import { isDeepStrictEqual } from "node:util";

const NO_KEYS: ReadonlySet<string> = new Set<string>();

/** One of the traffic tables: entries by key. Each entry belongs to one service. */
export class EntryTable<Entry extends { readonly key: string }> {
  readonly #entries = new Map<string, Entry>();
  readonly #keysByService = new Map<string, ReadonlySet<string>>();
  /** The service that owns each key. A key can move from a service that is being removed to a new one. */
  readonly #ownerByKey = new Map<string, string>();

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  values(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  /** Returns the current entries of a service. */
  ofService(serviceId: string): readonly Entry[] {
    const keys = [...(this.#keysByService.get(serviceId) ?? NO_KEYS)];
    return keys.flatMap((key) =>
      this.#ownerByKey.get(key) === serviceId ? (this.#entries.get(key) ?? []) : [],
    );
  }

  /** Replaces the entries of a service. Returns the keys of the entries that changed. */
  replaceOfService(serviceId: string, entries: readonly Entry[]): readonly string[] {
    const previousKeys = this.#keysByService.get(serviceId) ?? NO_KEYS;
    const changedKeys: string[] = [];
    const keys = new Set<string>();
    for (const entry of entries) {
      keys.add(entry.key);
      this.#ownerByKey.set(entry.key, serviceId);
      if (isDeepStrictEqual(this.#entries.get(entry.key), entry)) continue;
      this.#entries.set(entry.key, entry);
      changedKeys.push(entry.key);
    }
    for (const key of previousKeys) {
      if (keys.has(key) || this.#ownerByKey.get(key) !== serviceId) continue;
      this.#entries.delete(key);
      this.#ownerByKey.delete(key);
      changedKeys.push(key);
    }
    if (keys.size > 0) {
      this.#keysByService.set(serviceId, keys);
    } else {
      this.#keysByService.delete(serviceId);
    }
    return changedKeys;
  }
}
