/** Passes items from a producer to a consumer, one at a time: the producer waits until its last item was taken. */
export class HandOver<T> {
  #item: T | undefined;
  #hasEnded = false;
  #wakeConsumer: () => void = () => {};
  #wakeProducer: () => void = () => {};

  /** Resolves when the item was taken. @throws the signal's reason */
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

  /** The consumer gets `undefined` after the last item. */
  end(): void {
    this.#hasEnded = true;
    this.#wakeConsumer();
  }

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
