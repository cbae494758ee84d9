/**
 * Passes values from one part of the agent to parts that are constructed later. This breaks cycles between parts that need
 * each other.
 */
export class Notifier<T> {
  readonly #listeners: ((value: T) => void)[] = [];

  /** Calls `listener` with each later value. Listeners are called in the order in which they subscribed. */
  subscribe(listener: (value: T) => void): void {
    this.#listeners.push(listener);
  }

  /** Calls all listeners. An arrow function, so that it can be passed as a callback. */
  readonly notify = (value: T): void => {
    for (const listener of this.#listeners) listener(value);
  };
}
