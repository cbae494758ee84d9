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

/** A table of records that are identified by two ids, such as a network's and a node's. Indexed by each of them. */
export class PairTable<T> {
  readonly #firstIdOf: (record: T) => string;
  readonly #secondIdOf: (record: T) => string;
  readonly #byFirstId = new GroupedMap<T>();
  readonly #bySecondId = new GroupedMap<T>();

  constructor(firstIdOf: (record: T) => string, secondIdOf: (record: T) => string) {
    this.#firstIdOf = firstIdOf;
    this.#secondIdOf = secondIdOf;
  }

  get(firstId: string, secondId: string): T | undefined {
    return this.#byFirstId.get(firstId).get(secondId);
  }

  /** Returns the records with this first id, by second id. */
  byFirstId(firstId: string): ReadonlyMap<string, T> {
    return this.#byFirstId.get(firstId);
  }

  /** Returns the records with this second id, by first id. */
  bySecondId(secondId: string): ReadonlyMap<string, T> {
    return this.#bySecondId.get(secondId);
  }

  put(record: T): void {
    const firstId = this.#firstIdOf(record);
    const secondId = this.#secondIdOf(record);
    this.#byFirstId.set(firstId, secondId, record);
    this.#bySecondId.set(secondId, firstId, record);
  }

  delete(firstId: string, secondId: string): void {
    this.#byFirstId.delete(firstId, secondId);
    this.#bySecondId.delete(secondId, firstId);
  }
}
