/** Calls the listeners of one kind of event. */
export class Emitter<Event = void> {
  readonly #listeners = new Set<(event: Event) => void>();
  readonly #onError: ((error: unknown) => void) | undefined;

  /** Without `onError`, an error of a listener is thrown by `emit`, and later listeners are not called. */
  constructor(onError?: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Adds a listener. The returned function removes it. */
  on(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Calls the listeners in the order in which they were added. */
  emit(event: Event): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        if (this.#onError === undefined) throw error;
        this.#onError(error);
      }
    }
  }
}
