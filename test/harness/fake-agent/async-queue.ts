/** Returns an unbounded queue whose items are read as an async iterator. */
export function asyncQueue<T>(): { push(item: T): void; end(): void; items: AsyncGenerator<T> } {
  const waiting: T[] = [];
  let isEnded = false;
  let wake = (): void => {};
  async function* items(): AsyncGenerator<T> {
    while (!isEnded) {
      const item = waiting.shift();
      if (item !== undefined) {
        yield item;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  }
  return {
    push: (item) => {
      waiting.push(item);
      wake();
    },
    end: () => {
      isEnded = true;
      wake();
    },
    items: items(),
  };
}
