/** Passes items from one producer to one consumer. Holds one item at a time, as an unbuffered channel in Go does. */
export class UnbufferedChannel<T> {
  #item: T | undefined;
  #hasEnded = false;
  #wakeConsumer: () => void = () => {};
  #wakeProducer: () => void = () => {};

  /**
   * Passes an item on, and resolves when the consumer has taken it.
   *
   * @throws the signal's reason
   */
  async put(item: T, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#item = item;
    this.#wakeConsumer();
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#wakeProducer = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
    });
  }

  /** Ends the channel: `take` returns undefined after the last item. */
  end(): void {
    this.#hasEnded = true;
    this.#wakeConsumer();
  }

  /** Returns the next item, or undefined after the end. */
  async take(): Promise<T | undefined> {
    while (this.#item === undefined && !this.#hasEnded) {
      await new Promise<void>((resolve) => {
        this.#wakeConsumer = resolve;
      });
    }
    const item = this.#item;
    this.#item = undefined;
    this.#wakeProducer();
    return item;
  }
}
