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

/**
 * The records of one kind as clients see them, by key, with the changes that have not been sent yet. A view is such a
 * record.
 */
export class ViewTable<View> {
  readonly #encode: EncodeView<View>;
  readonly #entries = new Map<string, Entry<View>>();
  readonly #changed = new Set<string>();
  /** Keys of removed views that an earlier call of `takeChanges` has returned. */
  readonly #removed = new Set<string>();
  /** Keys added since the last call of `takeChanges`. If they are removed before the next call, there is no change. */
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

  /** Adds or replaces a view. Has no effect if it equals the known one. */
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
    const changed: View[] = [];
    for (const key of this.#changed) {
      const entry = this.#entries.get(key);
      if (entry !== undefined) changed.push(entry.view);
    }
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
