/** A map of items by group and id. Removes groups that become empty. */
export class GroupedMap<T> {
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

  /** Returns the groups that have items. */
  groups(): IterableIterator<string> {
    return this.#groups.keys();
  }

  get groupCount(): number {
    return this.#groups.size;
  }
}

const EMPTY: ReadonlyMap<string, never> = new Map<string, never>();

/** A table of records with two ids, such as a network's and a node's. Indexed by both. */
export class PairTable<T> {
  readonly #firstOf: (record: T) => string;
  readonly #secondOf: (record: T) => string;
  readonly #byFirst = new GroupedMap<T>();
  readonly #bySecond = new GroupedMap<T>();

  constructor(firstOf: (record: T) => string, secondOf: (record: T) => string) {
    this.#firstOf = firstOf;
    this.#secondOf = secondOf;
  }

  get(first: string, second: string): T | undefined {
    return this.#byFirst.get(first).get(second);
  }

  /** Returns the records with this first id, by second id. */
  ofFirst(first: string): ReadonlyMap<string, T> {
    return this.#byFirst.get(first);
  }

  /** Returns the records with this second id, by first id. */
  ofSecond(second: string): ReadonlyMap<string, T> {
    return this.#bySecond.get(second);
  }

  put(record: T): void {
    const first = this.#firstOf(record);
    const second = this.#secondOf(record);
    this.#byFirst.set(first, second, record);
    this.#bySecond.set(second, first, record);
  }

  delete(first: string, second: string): void {
    this.#byFirst.delete(first, second);
    this.#bySecond.delete(second, first);
  }
}
