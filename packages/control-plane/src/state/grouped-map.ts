const EMPTY_GROUP: ReadonlyMap<string, never> = new Map<string, never>();

/** A map of items by group and ID, from which the tables of the cluster state build their indexes. Drops empty groups. */
export class GroupedMap<T> {
  readonly #groups = new Map<string, Map<string, T>>();

  get(group: string): ReadonlyMap<string, T> {
    return this.#groups.get(group) ?? EMPTY_GROUP;
  }

  set(group: string, id: string, item: T): void {
    const items = this.#groups.get(group);
    if (items === undefined) {
      this.#groups.set(group, new Map([[id, item]]));
    } else {
      items.set(id, item);
    }
  }

  delete(group: string, id: string): void {
    const items = this.#groups.get(group);
    if (items === undefined) return;
    items.delete(id);
    if (items.size === 0) this.#groups.delete(group);
  }

  /** Returns the groups that have items. */
  groups(): IterableIterator<string> {
    return this.#groups.keys();
  }

  get groupCount(): number {
    return this.#groups.size;
  }
}
