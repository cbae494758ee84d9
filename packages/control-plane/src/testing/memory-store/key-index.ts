/**
 * Keys in byte order. New keys are sorted in on the next read, so that a run of writes costs one merge and not one each.
 */
export class KeyIndex {
  #sorted: string[] = [];
  #added = new Set<string>();
  #removed = new Set<string>();

  add(key: string): void {
    if (!this.#removed.delete(key)) this.#added.add(key);
  }

  /** The key must have been added. */
  remove(key: string): void {
    if (!this.#added.delete(key)) this.#removed.add(key);
  }

  /** Keys that start with `prefix` and sort after `after`, in order. Do not write while iterating. */
  *startingWith(prefix: string, after = ""): Generator<string> {
    this.#settle();
    for (let i = this.#firstAtLeast(after < prefix ? prefix : `${after}\0`); i < this.#sorted.length; i++) {
      const key = this.#sorted[i];
      if (key === undefined || !key.startsWith(prefix)) return;
      yield key;
    }
  }

  #settle(): void {
    if (this.#removed.size > 0) this.#sorted = this.#sorted.filter((key) => !this.#removed.has(key));
    if (this.#added.size > 0) this.#sorted = merge(this.#sorted, [...this.#added].sort());
    this.#removed.clear();
    this.#added.clear();
  }

  #firstAtLeast(bound: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const key = this.#sorted[middle];
      if (key !== undefined && key < bound) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function merge(left: readonly string[], right: readonly string[]): string[] {
  const merged: string[] = [];
  let i = 0;
  for (const key of right) {
    for (let next = left[i]; next !== undefined && next < key; next = left[++i]) merged.push(next);
    merged.push(key);
  }
  for (; i < left.length; i++) merged.push(left[i] ?? "");
  return merged;
}
