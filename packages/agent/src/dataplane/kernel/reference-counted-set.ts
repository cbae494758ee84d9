/** Counts references to elements and reports which elements appeared and disappeared. */
export class ReferenceCountedSet {
  readonly #counts = new Map<string, number>();
  /** Counts before the first change since the last `drain`. Undefined until the first `drain`. */
  #before: Map<string, number> | undefined;

  add(element: string): void {
    this.#change(element, 1);
  }

  remove(element: string): void {
    this.#change(element, -1);
  }

  has(element: string): boolean {
    return this.#counts.has(element);
  }

  /** Returns the elements that appeared and disappeared since the last call. */
  drain(): { readonly added: readonly string[]; readonly deleted: readonly string[] } {
    const changed = this.#before;
    this.#before = new Map();
    if (changed === undefined) return { added: [...this.#counts.keys()], deleted: [] };
    const added: string[] = [];
    const deleted: string[] = [];
    for (const [element, before] of changed) {
      const isReferenced = this.#counts.has(element);
      if (isReferenced && before === 0) added.push(element);
      else if (!isReferenced && before > 0) deleted.push(element);
    }
    return { added, deleted };
  }

  #change(element: string, by: number): void {
    const count = this.#counts.get(element) ?? 0;
    if (this.#before?.has(element) === false) this.#before.set(element, count);
    if (count + by > 0) this.#counts.set(element, count + by);
    else this.#counts.delete(element);
  }
}
