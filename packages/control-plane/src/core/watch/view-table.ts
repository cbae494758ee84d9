/** Encodes a view. Equal views have equal encodings. */
export type EncodeView<View> = (view: View) => Uint8Array;

/** The views that were added or changed, and the keys that were removed, between two calls of `takeChanges`. */
export interface ViewChanges<View> {
  readonly changed: readonly View[];
  readonly removed: readonly string[];
}

interface Entry<View> {
  readonly view: View;
  readonly encoding: Uint8Array;
}

/** The current views of one kind, by key, with the changes since they were last taken. */
export class ViewTable<View> {
  readonly #encode: EncodeView<View>;
  readonly #entries = new Map<string, Entry<View>>();
  readonly #changed = new Set<string>();
  /** Keys whose removal has not been taken, and whose view the last taker knows. */
  readonly #removed = new Set<string>();
  /** Keys that were added since the last taking, which the taker does not know if they are removed before. */
  readonly #added = new Set<string>();

  constructor(encode: EncodeView<View>) {
    this.#encode = encode;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): View | undefined {
    return this.#entries.get(key)?.view;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  keys(): IterableIterator<string> {
    return this.#entries.keys();
  }

  values(): readonly View[] {
    return [...this.#entries.values()].map(({ view }) => view);
  }

  /** Adds or replaces a view. No effect when it is equal to the known one. */
  put(key: string, view: View): void {
    const known = this.#entries.get(key);
    if (known?.view === view) return;
    const encoding = this.#encode(view);
    if (known !== undefined && isEqual(known.encoding, encoding)) return;
    this.#entries.set(key, { view, encoding });
    if (known === undefined && !this.#removed.delete(key)) this.#added.add(key);
    this.#changed.add(key);
  }

  delete(key: string): void {
    if (!this.#entries.delete(key)) return;
    this.#changed.delete(key);
    if (!this.#added.delete(key)) this.#removed.add(key);
  }

  /** Returns the changes since the last call. */
  takeChanges(): ViewChanges<View> {
    const changed = [...this.#changed].flatMap((key) => this.#entries.get(key)?.view ?? []);
    const removed = [...this.#removed];
    this.#changed.clear();
    this.#removed.clear();
    this.#added.clear();
    return { changed, removed };
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
