/**
 * Passes values from a part of the agent to parts that are constructed later. Parts that need each other can so be
 * constructed in dependency order.
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
