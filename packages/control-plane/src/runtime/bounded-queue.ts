/** A bounded queue between one producer and one consumer. A full queue blocks the producer, an empty one the consumer. */
export class BoundedQueue<T> {
  readonly #capacity: number;
  readonly #items: T[] = [];
  #end: { readonly error: Error | undefined } | undefined;
  #wakeConsumer: () => void = () => {};
  #wakeProducer: () => void = () => {};

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get isEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Adds an item. Resolves when there is room for another one, or when the queue has ended. */
  async put(item: T): Promise<void> {
    if (this.#end !== undefined) return;
    this.#items.push(item);
    this.#wakeConsumer();
    while (this.#items.length >= this.#capacity && !this.isEnded) {
      await new Promise<void>((resolve) => {
        this.#wakeProducer = resolve;
      });
    }
  }

  /** Ends the queue. The consumer gets the remaining items first, then `error` if there is one. Later ends are ignored. */
  end(error?: Error): void {
    this.#end ??= { error };
    this.#wakeConsumer();
    this.#wakeProducer();
  }

  /**
   * Removes and returns the next item; undefined after the last one.
   *
   * @throws the error given to `end`
   */
  async take(): Promise<T | undefined> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#wakeProducer();
        return item;
      }
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeConsumer = resolve;
      });
    }
  }
}
