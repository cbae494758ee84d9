export interface LaneOptions {
  /** Goes before everything that waits. */
  readonly isUrgent: boolean;
}

/** Runs effects, at most `width` at a time. How many wait is bounded by who asks: a task asks for one at a time. */
export class Lane {
  readonly #width: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  #running = 0;

  constructor(width: number) {
    this.#width = width;
  }

  /** Settles as `effect` does. */
  run<T>(effect: () => Promise<T>, { isUrgent }: LaneOptions): Promise<T> {
    return new Promise((resolve, reject) => {
      const entry = (): Promise<void> => effect().then(resolve, reject);
      if (isUrgent) this.#waiting.unshift(entry);
      else this.#waiting.push(entry);
      this.#next();
    });
  }

  #next(): void {
    while (this.#running < this.#width) {
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      this.#running += 1;
      void entry().finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }
}
