/** Calls the listeners of one kind of event. A listener that throws does not keep the others from being called. */
export class Emitter<Event = void> {
  readonly #listeners = new Set<(event: Event) => void>();
  readonly #onError: ((error: unknown) => void) | undefined;

  /** `onError` receives the errors of listeners. Without it, `emit` throws the first one after the last listener. */
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

  get hasListeners(): boolean {
    return this.#listeners.size > 0;
  }

  /** Calls the listeners in the order in which they were added. */
  emit(event: Event): void {
    const errors: unknown[] = [];
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        if (this.#onError === undefined) {
          errors.push(error);
        } else {
          this.#onError(error);
        }
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
