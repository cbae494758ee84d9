/**
 * Handles items in the order of their arrival, for a limited time in each turn of the event loop. Other events are
 * handled in between; an idle process handles items without delay.
 */
export class PacedQueue<T> {
  readonly #turnMs: number;
  readonly #handle: (item: T) => void;
  readonly #items: T[] = [];
  #isScheduled = false;

  /** @param handle must not throw. At least one item is handled in a turn */
  constructor(turnMs: number, handle: (item: T) => void) {
    this.#turnMs = turnMs;
    this.#handle = handle;
  }

  /** Adds an item. The caller bounds their number. */
  add(item: T): void {
    this.#items.push(item);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#handleSome();
      if (this.#items.length > 0) this.#schedule();
    });
  }

  #handleSome(): void {
    const endMs = performance.now() + this.#turnMs;
    let handled = 0;
    for (const item of this.#items) {
      this.#handle(item);
      handled += 1;
      if (performance.now() >= endMs) break;
    }
    this.#items.splice(0, handled);
  }
}
