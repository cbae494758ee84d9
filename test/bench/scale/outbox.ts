/** Queues messages for a stream. Drops messages that are pushed after `close`. */
export class Outbox<T> implements AsyncIterable<T> {
  #messages: T[] = [];
  #isClosed = false;
  #wake: () => void = () => {};

  push(message: T): void {
    if (this.#isClosed) return;
    this.#messages.push(message);
    this.#wake();
  }

  close(): void {
    this.#isClosed = true;
    this.#messages = [];
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    while (!this.#isClosed) {
      const messages = this.#messages;
      this.#messages = [];
      yield* messages;
      if (this.#messages.length > 0 || this.#isClosed) continue;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
