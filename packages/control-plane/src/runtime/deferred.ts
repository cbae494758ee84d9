/** A promise that other code settles. Only the first call of `resolve` or `reject` has an effect. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  // Assigned by the promise's executor, which runs before the constructor ends.
  #resolve!: (value: T) => void;
  #reject!: (reason: unknown) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  resolve(value: T): void {
    this.#resolve(value);
  }

  reject(reason: unknown): void {
    this.#reject(reason);
  }
}
