import { Grouped } from "./grouped.js";

/** Records that each belong to two others, found from either side. */
export class PairTable<T> {
  readonly #firstOf: (record: T) => string;
  readonly #secondOf: (record: T) => string;
  readonly #byFirst = new Grouped<T>();
  readonly #bySecond = new Grouped<T>();

  constructor(firstOf: (record: T) => string, secondOf: (record: T) => string) {
    this.#firstOf = firstOf;
    this.#secondOf = secondOf;
  }

  get(first: string, second: string): T | undefined {
    return this.#byFirst.get(first).get(second);
  }

  /** By the second's id. */
  ofFirst(first: string): ReadonlyMap<string, T> {
    return this.#byFirst.get(first);
  }

  /** By the first's id. */
  ofSecond(second: string): ReadonlyMap<string, T> {
    return this.#bySecond.get(second);
  }

  put(record: T): void {
    const first = this.#firstOf(record);
    const second = this.#secondOf(record);
    this.#byFirst.set(first, second, record);
    this.#bySecond.set(second, first, record);
  }

  delete(first: string, second: string): void {
    this.#byFirst.delete(first, second);
    this.#bySecond.delete(second, first);
  }
}
