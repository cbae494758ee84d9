/** A bounded pipe between one producer and one consumer: whoever is ahead waits. */
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

  /** Resolves when there is room for more, or when nobody wants more. */
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

  /** No more comes. With an error, the consumer is told after it has taken what is there. The first end counts. */
  end(error?: Error): void {
    this.#end ??= { error };
    this.#wakeConsumer();
    this.#wakeProducer();
  }

  /** The next item; undefined after the last. @throws the error of `end` */
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
