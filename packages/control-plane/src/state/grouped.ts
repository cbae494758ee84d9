/** Items by id, in groups. Empty groups take no room. */
export class Grouped<T> {
  readonly #groups = new Map<string, Map<string, T>>();

  get(group: string): ReadonlyMap<string, T> {
    return this.#groups.get(group) ?? EMPTY;
  }

  set(group: string, id: string, item: T): void {
    const items = this.#groups.get(group);
    if (items === undefined) this.#groups.set(group, new Map([[id, item]]));
    else items.set(id, item);
  }

  delete(group: string, id: string): void {
    const items = this.#groups.get(group);
    if (items === undefined) return;
    items.delete(id);
    if (items.size === 0) this.#groups.delete(group);
  }

  /** Groups that have items. */
  groups(): IterableIterator<string> {
    return this.#groups.keys();
  }

  get groupCount(): number {
    return this.#groups.size;
  }
}

const EMPTY: ReadonlyMap<string, never> = new Map<string, never>();
