/** The listeners of one kind of event. */
export class Emitter<Event = void> {
  readonly #listeners = new Set<(event: Event) => void>();

  /** Adds a listener. The returned function removes it. */
  on(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Calls the listeners in the order in which they were added. */
  emit(event: Event): void {
    for (const listener of this.#listeners) listener(event);
  }
}
