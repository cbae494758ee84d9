import { isDeepStrictEqual } from "node:util";

const NONE: ReadonlySet<string> = new Set<string>();

/** What hosts are told of services, by keys of its own: published ports with their endpoints, or names. */
export class EntryTable<Entry extends { readonly key: string }> {
  readonly #entries = new Map<string, Entry>();
  readonly #keysByService = new Map<string, ReadonlySet<string>>();
  /** A port can go from a service that is being removed to a new one: the key is then the new one's. */
  readonly #ownerByKey = new Map<string, string>();

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  values(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  ofService(serviceId: string): readonly Entry[] {
    const keys = [...(this.#keysByService.get(serviceId) ?? NONE)];
    return keys.flatMap((key) =>
      this.#ownerByKey.get(key) === serviceId ? (this.#entries.get(key) ?? []) : [],
    );
  }

  /** Replaces the entries of a service and returns the keys of those that changed. */
  replace(serviceId: string, entries: readonly Entry[]): readonly string[] {
    const before = this.#keysByService.get(serviceId) ?? NONE;
    const changed: string[] = [];
    const keys = new Set<string>();
    for (const entry of entries) {
      keys.add(entry.key);
      this.#ownerByKey.set(entry.key, serviceId);
      if (isDeepStrictEqual(this.#entries.get(entry.key), entry)) continue;
      this.#entries.set(entry.key, entry);
      changed.push(entry.key);
    }
    for (const key of before) {
      if (keys.has(key) || this.#ownerByKey.get(key) !== serviceId) continue;
      this.#entries.delete(key);
      this.#ownerByKey.delete(key);
      changed.push(key);
    }
    if (keys.size > 0) this.#keysByService.set(serviceId, keys);
    else this.#keysByService.delete(serviceId);
    return changed;
  }
}
